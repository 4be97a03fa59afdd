"""The README keeps its word: commands and snippets are run, output is what one sees, names and links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import holocron as package
from holocron import Lease, Node
from holocron.errors import LeadershipLost
from holocron.testing.server import SpawnedServer, spawn
from tests import markdown
from tests.cli.program import clean_environment, command, holocron

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
TEXT = README.read_text()
PROSE = markdown.prose(TEXT)
BUCKET = "my-bucket"

# Which test runs which fenced block: section, language, number there.
RUN_BY = {
    ("Try it", "sh", 0): "test_the_two_commands_do_what_they_say",
    ("Try it", "sh", 1): "test_it_installs_from_a_checkout",
    ("In a program", "python", 0): "test_the_library_example_runs",
    ("On the command line", "console", 0): "test_a_node_is_killed_and_resumed_as_shown",
    ("On the command line", "console", 1): "test_a_node_is_killed_and_resumed_as_shown",
    ("Which stores", "sh", 0): "test_doctor_finds_the_store_fit",
}
# What the snippet calls and does not define: the reader's own work.
PRELUDE = """
fences = []

def write(fence: int) -> None:
    fences.append(fence)
    if len(fences) == 3:
        node.withdraw()

"""


@pytest.fixture(scope="module")
def server() -> Iterator[SpawnedServer]:
    """An S3 server with the bucket that the README speaks of."""
    with spawn(buckets=(BUCKET,)) as made_:
        yield made_


@pytest.fixture
def env(server: SpawnedServer) -> dict[str, str]:
    """What the README's reader has in the environment: credentials, and here the way to the server."""
    return clean_environment(**server.environment(), HOLOCRON_TTL="2s")


def _block(heading: str, language: str, number: int = 0) -> str:
    (text,) = (one.text for one in markdown.blocks(TEXT) if one[:3] == (heading, language, number))
    return text


def _commands(block: str) -> list[list[str]]:
    """The words of each line of a block of plain commands."""
    return [shlex.split(line, comments=True) for line in block.splitlines()]


def test_every_block_is_run() -> None:
    """Nobody can add a command or a snippet that no test runs."""
    assert [one[:3] for one in markdown.blocks(TEXT)] == list(RUN_BY)
    assert all(callable(globals()[name]) for name in RUN_BY.values())
    assert len(re.findall(r"^ *(```|~~~)", TEXT, re.MULTILINE)) == 2 * len(RUN_BY)


# --- the commands and snippets --------------------------------------------------------------------------------------


def test_the_two_commands_do_what_they_say() -> None:
    """`make demo` plays what tests/cli/test_simulate.py tests, and `make test` is every test without Ceph."""
    runs = {"demo": ".venv/bin/holocron simulate", "test": '.venv/bin/pytest -n 2 --dist loadfile -m "not ceph"'}
    commands = _commands(_block("Try it", "sh"))
    assert [words[0] for words in commands] == ["make"] * len(runs)
    assert [words[1] for words in commands] == list(runs)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    for words in commands:
        dry = subprocess.run(
            [*words, "--dry-run"], cwd=ROOT, env=plain, capture_output=True, text=True, timeout=60, check=True
        )
        assert dry.stdout.splitlines()[-1] == runs[words[1]]
    assert 'holocron("simulate"' in (ROOT / "tests/cli/test_simulate.py").read_text()


def test_it_installs_from_a_checkout(tmp_path: Path) -> None:
    """`pip install .` installs the library with its types, the command and its metadata; the extras are those named."""
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    for number, words in enumerate(_commands(_block("Try it", "sh", 1))):
        assert words[:2] == ["pip", "install"]
        target = tmp_path / str(number)
        pip = [sys.executable, "-m", *words, *offline, "--target", str(target)]
        done = subprocess.run(pip, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
        assert done.returncode == 0, done.stderr
        assert (target / "holocron/py.typed").is_file()
        assert (target / "holocron/protocol/README.md").is_file()
        assert not (target / "tests").exists()
        version = subprocess.run(
            [str(target / "bin/holocron"), "--version"],
            env=clean_environment(PYTHONPATH=str(target)),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert version.stdout.startswith("holocron 0.")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"`{project['name']}`" in PROSE
    named = re.search(r"Its extras are (.*?)\. ", PROSE)
    assert named is not None
    assert set(re.findall(r"`(\w+)`", named[1])) == set(project["optional-dependencies"]) - {"dev"}


def test_the_library_example_runs(env: dict[str, str]) -> None:
    """The snippet leads, publishes, writes with its token and releases; its comment's way to start works as well."""
    snippet = _block("In a program", "python")
    out = _python(snippet, env)
    assert out[-1] == "[1, 1, 1]"
    assert all(words in out[0] for words in ("Topology(epoch=", "Tenure(term=1,"))
    ids = re.findall(r"node='(\w+)'", out[0])
    start = re.search(r"holocron\.Node\.start\(.*?\)", snippet)
    resume = re.search(r"# or (Node\.resume\(.*\))", snippet)
    assert start is not None
    assert resume is not None
    again = re.sub(r'"[0-9a-f]{12}"', f'"{ids[0]}"', f"holocron.{resume[1]}")
    out = _python(snippet.replace(start[0], again), env)
    (fence,) = set(re.findall(r"\d+", out[-1]))
    assert int(fence) > 1


def _python(snippet: str, env: dict[str, str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{PRELUDE}{snippet}\nprint(fences)\n"],
        env=env,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


class Line(NamedTuple):
    """What stays of a log line when times, ids and numbers are taken out."""

    level: str
    event: str
    fields: tuple[str, ...]


_LINE = re.compile(r"(?:\^C)?\d{4}-\d\d-\d\dT[\d:.]+Z \[(\w+) *\] (.*?) (node=.*)")


def _line(text: str) -> Line:
    shape = _LINE.fullmatch(text)
    assert shape is not None, f"this is no log line: {text}"
    return Line(shape[1], shape[2], tuple(re.findall(r"(?:^| )(\w+)=", shape[3])))


def _console(number: int) -> tuple[dict[str, str], list[str], list[str]]:
    """A console block: what it exports, the words of its command, and what it shows then."""
    exports: dict[str, str] = {}
    words: list[str] = []
    lines = _block("On the command line", "console", number).splitlines()
    while lines and lines[0].startswith("$ "):
        given = shlex.split(lines.pop(0)[2:])
        if given[0] == "export":
            name, _, value = given[1].partition("=")
            exports[name] = value
        else:
            assert not words, "one command a block"
            words = given
    assert words[0] == "holocron"
    return exports, words[1:], lines


def test_a_node_is_killed_and_resumed_as_shown(env: dict[str, str]) -> None:
    """Both command lines of the README, a SIGKILL between them: the same events, with the same fields, in order."""
    exports, words, shown = _console(0)
    (shown_id,) = set(re.findall(r"node=(\w+)", "\n".join(shown)))
    assert shown.pop() == "Killed"
    lines, code = _narrated(words, env | exports, "Acquired cluster leadership.", signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert [_line(line) for line in lines] == [_line(line) for line in shown]
    (node_id,) = set(re.findall(r"node=(\w+)", "\n".join(lines)))

    exports, words, shown = _console(1)
    assert words[-1] == shown_id
    words[-1] = node_id
    lines, code = _narrated(words, env | exports, "Acquired cluster leadership.", signal.SIGINT)
    assert code == 0
    assert [_line(line) for line in lines] == [_line(line) for line in shown]
    assert {node_id} == set(re.findall(r"node=(\w+)", "\n".join(lines)))
    assert "incarnation=2" in lines[0]
    for text in (lines, shown):
        # The term of the first life was 1: the token has risen.
        assert max(int(term) for term in re.findall(r"term=(\d+)", "\n".join(text))) > 1


def _narrated(words: list[str], env: dict[str, str], until: str, number: signal.Signals) -> tuple[list[str], int]:
    """What the command says on stderr, sent a signal once it has said `until`; and its exit code."""
    with subprocess.Popen(
        command(*words), env=env, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        lines, sent = [], False
        for line in process.stderr:
            lines.append(line.rstrip("\n"))
            if until in line and not sent:
                process.send_signal(number)
                sent = True
    return lines, process.returncode


def test_doctor_finds_the_store_fit(env: dict[str, str]) -> None:
    """The command as it stands there, on a good store."""
    for words in _commands(_block("Which stores", "sh")):
        assert words[0] == "holocron"
        done = holocron(*words[1:], env=env)
        assert done.code == 0, done
        assert "Every promise held" in done.out


@pytest.mark.parametrize("span", sorted({span for span in markdown.code(TEXT) if span.startswith("holocron ")}))
def test_every_command_in_the_text_exists(span: str) -> None:
    """A command named in a sentence is one, and has the flags it is given."""
    words = shlex.split(span)[1:]
    done = holocron(*(word for word in words if not word.startswith("-")), "--help")
    assert done.code == 0, done
    assert {word for word in words if word.startswith("-")} <= set(done.out.split())


def test_every_name_of_the_library_in_the_text_exists() -> None:
    """What the text calls `node.this`, `lease.that` or `holocron.other` is there."""
    known = {"node": Node, "lease": Lease, "holocron": package}
    spans = [
        match for span in markdown.code(TEXT) if (match := re.match(r"(node|lease|holocron)\.(?!toml)(\w+)", span))
    ]
    assert {match[1] for match in spans} == set(known)
    for match in spans:
        assert hasattr(known[match[1]], match[2]), match[0]
    assert f"`{LeadershipLost.__name__}`" in PROSE


# --- the links ------------------------------------------------------------------------------------------------------

DOCUMENTS = sorted(
    {
        *ROOT.glob("*.md"),
        *(found for part in ("holocron", "cli", "tests", "examples") for found in ROOT.glob(f"{part}/**/*.md")),
    }
)


@pytest.mark.parametrize("document", [str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_links_lead_somewhere(document: str) -> None:
    """Each link to a file of the project leads to one."""
    assert [str(target) for target in markdown.links(ROOT / document) if not target.exists()] == []


def test_the_readme_is_short_and_links_on() -> None:
    """Under 200 lines, with the documents to read on in reach."""
    assert len(TEXT.splitlines()) < 200
    linked = {target.resolve() for target in markdown.links(README)}
    assert {path.resolve() for path in DOCUMENTS} - {README.resolve()} <= linked
