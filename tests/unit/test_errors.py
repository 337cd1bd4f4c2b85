"""Errors can be caught by their cause, say what to do, and survive a trip between processes."""

import pickle

import pytest

from beanrow import errors


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.InvalidArgument, ValueError),
        (errors.CodecError, ValueError),
        (errors.ConnectionShared, RuntimeError),
        (errors.ConnectionFailed, ConnectionError),
        (errors.ConnectionLost, ConnectionError),
        (errors.ConnectionClosed, ConnectionError),
        (errors.IOTimeout, TimeoutError),
    ],
)
def test_pythons_own_names_catch_them_too(error: type[Exception], builtin: type) -> None:
    with pytest.raises(builtin, match="why"):
        raise error("why")
    assert issubclass(error, errors.BeanrowError)


@pytest.mark.parametrize(
    "error",
    [
        errors.NotFound("delete 7", 7),
        errors.Buried("release 7 0 0", 7),
        errors.DeadlineSoon("reserve", job_ids=(3, 4)),
        errors.InvalidArgument("why"),
        errors.IOTimeout("why"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_they_can_be_pickled(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize("command", ["delete 7", "pause-tube mail 1", "kick-job 7"])
def test_not_found_fits_jobs_and_tubes(command: str) -> None:
    said = str(errors.NotFound(command))
    assert said.startswith(f"{command}: NOT_FOUND: no such job or tube, or ")


def test_deadline_soon_names_the_jobs() -> None:
    assert "touch jobs 3, 4 first" in str(errors.DeadlineSoon("reserve", job_ids=(3, 4)))
    assert "touch a reserved job first" in str(errors.DeadlineSoon("reserve"))
