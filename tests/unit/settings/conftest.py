"""Files of configuration, written for one test."""

import pytest

from gateway.settings import CONFIG, SettingsError, load


@pytest.fixture
def write(tmp_path):
    """Write a file and return its path."""

    def write(text, name="own.conf"):
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write


@pytest.fixture
def write_own(write):
    """Write a file whose first line includes config/test.conf, and return its path."""
    return lambda text: write(f'include "{CONFIG / "test.conf"}"\n{text}')


@pytest.fixture
def refusal():
    """Load a file that must be refused, and return what is said."""

    def refusal(path, environ=None):
        with pytest.raises(SettingsError) as caught:
            load(path, environ or {})
        return str(caught.value).replace(f"{path.parent}/", "")

    return refusal
