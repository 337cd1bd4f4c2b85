"""The beanstalk protocol without input or output: bytes to commands, results to bytes."""
