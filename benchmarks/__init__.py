"""Compare beanrow and beanstalkd side by side: `python -m benchmarks`, see README.md here."""
