"""Passwords: hashed as RFC 7914 says, read as settings, made on the command line, and shown nowhere."""

import os
import pty
import re
import subprocess
import sys
from base64 import urlsafe_b64encode

import pytest

from lambdazoom.model import passwords
from lambdazoom.model.errors import SettingsError
from lambdazoom.model.settings import Settings

PASSWORD = "correct horse battery"
HASH = passwords.hash_password(PASSWORD, bytes(range(16)))
SECRET = "0123456789abcdef0123456789abcdef"
BOTH = {"LAMBDAZOOM_PASSWORD_HASH": HASH, "LAMBDAZOOM_SESSION_SECRET": SECRET}


def base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def test_the_hash_is_the_one_of_the_standard() -> None:
    # RFC 7914, section 12, the third vector; of its 64 bytes the first 32
    key = bytes.fromhex("7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2")
    hashed = f"scrypt.16384.8.1.{base64(b'SodiumChloride')}.{base64(key)}"
    assert passwords.is_right("pleaseletmein", hashed)
    assert not passwords.is_right("pleaseletmeim", hashed)


@pytest.mark.parametrize("wrong", ["", "correct horse", PASSWORD + " ", PASSWORD.upper(), "\0", "x" * 100_000, "\ud800"])
def test_only_the_password_is_right(wrong: str) -> None:
    assert passwords.is_right(PASSWORD, HASH)
    assert not passwords.is_right(wrong, HASH)


def test_an_umlaut_is_one_whatever_keyboard_sent_it() -> None:
    assert passwords.is_right("Bärenhöhle", passwords.hash_password("Ba\u0308renho\u0308hle", bytes(16)))


def test_a_hash_holds_nothing_that_a_shell_or_a_settings_file_takes_for_its_own() -> None:
    assert re.fullmatch(r"scrypt\.32768\.8\.1\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}", HASH)


def test_the_same_password_with_another_salt_is_another_hash() -> None:
    assert passwords.hash_password(PASSWORD, bytes(16)) != HASH


def test_sessions_are_signed_with_both_the_secret_and_the_password() -> None:
    keys = {
        passwords.session_key(SECRET, HASH),
        passwords.session_key(SECRET[::-1], HASH),
        passwords.session_key(SECRET, passwords.hash_password(PASSWORD, bytes(16))),
    }
    assert len(keys) == 3


@pytest.mark.parametrize(
    "value",
    [
        PASSWORD,
        HASH[:-1],
        HASH + "A",
        HASH.replace("32768", "32767"),
        HASH.replace("32768", "1048576"),
        HASH.replace("32768", "1024"),
        HASH.replace(".8.1.", ".8.64."),
        HASH.replace("scrypt", "bcrypt"),
        HASH + "\n",
        f"LAMBDAZOOM_PASSWORD_HASH={HASH}",
        "٣" * 40,
    ],
)
def test_a_malformed_hash_is_found_when_settings_are_read_and_not_repeated(value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({**BOTH, "LAMBDAZOOM_PASSWORD_HASH": value})
    sentence = "LAMBDAZOOM_PASSWORD_HASH is set, but it must be a line that `python -m lambdazoom password` prints."
    assert str(caught.value) == sentence
    assert value not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"


def test_a_short_secret_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({**BOTH, "LAMBDAZOOM_SESSION_SECRET": SECRET[:31]})
    assert "at least 32 ASCII characters long; `python -m lambdazoom password` prints a good one." in str(caught.value)
    assert SECRET[:31] not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize("name", BOTH)
def test_one_without_the_other_is_refused_with_a_way_out(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({**BOTH, name: ""})
    assert str(caught.value) == f"{name} is not set; sign-in needs both. `python -m lambdazoom password` prints them."


def test_settings_show_secrets_only_as_set() -> None:
    settings = Settings.from_env(BOTH)
    assert (settings.password_hash, settings.session_secret) == (HASH, SECRET)
    assert {name: settings.texts[name] for name in BOTH} == dict.fromkeys(BOTH, "set")
    assert {name: Settings.from_env({}).texts[name] for name in BOTH} == dict.fromkeys(BOTH, "")
    assert HASH not in repr(settings)
    assert SECRET not in repr(settings)


def lambdazoom(*arguments: str, given: bytes = b"", environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "lambdazoom", *arguments]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LAMBDAZOOM_")}
    return subprocess.run(command, input=given, env={**clean, **(environment or {})}, capture_output=True, check=False, timeout=60)


def test_the_settings_command_prints_no_secret() -> None:
    done = lambdazoom("settings", environment=BOTH)
    assert b"LAMBDAZOOM_PASSWORD_HASH = set\n    environment; default: (not set)\n" in done.stdout
    assert HASH.encode() not in done.stdout + done.stderr
    assert SECRET.encode() not in done.stdout + done.stderr
    assert b"LAMBDAZOOM_SESSION_SECRET = (not set)\n" in lambdazoom("settings").stdout


def settings_of(printed: str) -> Settings:
    """The settings that two printed lines make, and nothing but two lines."""
    lines = printed.split("\n")
    assert [line.partition("=")[0] for line in lines] == [*BOTH, ""]
    return Settings.from_env(dict(line.split("=", 1) for line in lines[:-1]))


@pytest.mark.parametrize("arguments", [("password",), ("password", "--stdin")])
@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\nmore\n"])
def test_a_piped_password_becomes_two_settings(arguments: tuple[str, ...], ending: bytes) -> None:
    done = lambdazoom(*arguments, given="grüne Äpfel".encode() + ending)
    settings = settings_of(done.stdout.decode())
    assert passwords.is_right("grüne Äpfel", settings.password_hash)
    assert len(settings.session_secret) == 43  # 256 bits
    assert done.stderr.count(b"\n") == 1
    assert "Äpfel".encode() not in done.stdout + done.stderr


def test_each_run_makes_another_salt_and_another_secret() -> None:
    one, other = (settings_of(lambdazoom("password", given=PASSWORD.encode()).stdout.decode()) for _ in range(2))
    assert one.password_hash != other.password_hash
    assert one.session_secret != other.session_secret


@pytest.mark.parametrize(("given", "sentence"), [(b"1234567\n", "at least 8 characters"), (b"", "at least 8"), (b"\xff" * 9, "not UTF-8")])
def test_a_password_that_is_no_good_is_one_line(given: bytes, sentence: str) -> None:
    done = lambdazoom("password", given=given)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"lambdazoom: ")
    assert done.stderr.count(b"\n") == 1
    assert sentence in done.stderr.decode()
    assert not given.strip() or given.strip() not in done.stderr


@pytest.mark.parametrize("second", [PASSWORD, "something else"])
def test_at_a_terminal_it_is_asked_for_twice_and_not_echoed(second: str) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "lambdazoom", "password"]
    asked = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, start_new_session=True)
    os.close(theirs)
    said = answered(ours, b"Password: ", PASSWORD) + answered(ours, b"confirmation: ", second)
    if second == PASSWORD:
        printed = asked.communicate(timeout=20)[0].decode()
        assert passwords.is_right(PASSWORD, settings_of(printed).password_hash)
    else:
        said += answered(ours, b"do not match", "")
        asked.kill()
        assert asked.communicate(timeout=20)[0] == b""
    os.close(ours)
    assert PASSWORD.encode() not in said
    assert second.encode() not in said


def answered(terminal: int, question: bytes, answer: str) -> bytes:
    """Types the answer once the question stands there; all that was to be read until then."""
    said = b""
    while question not in said:
        said += os.read(terminal, 1000)
    os.write(terminal, f"{answer}\n".encode())
    return said
