"""`streamd words`: wake words of your own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.progress import BarColumn

from streamd.backends import Backends
from streamd.cli.common import ConfigOption, TenantOption, note, read_config
from streamd.cli.place import Place, chosen
from streamd.cli.progress import bars
from streamd.cli.recording import TrackOption
from streamd.cli.runtime import load_library, open_voices
from streamd.engine.passes.openwakeword import OpenWakeWord
from streamd.engine.passes.silero import SileroVad
from streamd.errors import NameTaken, NoSuchWord
from streamd.intervals import poisson, wilson
from streamd.models import catalogue
from streamd.modules.words import WordEstimate, WordInfo, check_word
from streamd.naming import DEFAULT_TENANT
from streamd.view.console import print_json, stdout
from streamd.view.listing import Column, listing
from streamd.words.clips import load_clip, refuse_copies
from streamd.words.limits import MAX_CLIPS, MIN_CLIPS
from streamd.words.making import Report, make_word, remarks_on
from streamd.words.negatives import built_in

app = typer.Typer(help="List, add and remove wake words of your own.", invoke_without_command=True)

NEEDED = ("silero-vad-6.2.3", catalogue.EMBEDDING_ID)
COLUMNS = (
    Column("name"),
    Column("clips"),
    Column("misses"),
    Column("in noise"),
    Column("false/h"),
    Column("threshold"),
    Column("since", is_minor=True),
    Column("licence", is_minor=True),
)
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
NameArgument = Annotated[str, typer.Argument(help="Name of the word, for example hey_computer.")]


@app.callback()
def root(
    context: typer.Context,
    json: JsonOption = False,
    tenant: TenantOption = None,
    config: ConfigOption = None,
) -> None:
    """List your wake words, or run a command on them."""
    context.obj = Place(config, tenant)
    if context.invoked_subcommand is None:
        list_(context, json)


@app.command("list")
def list_(context: typer.Context, json: JsonOption = False, tenant: TenantOption = None) -> None:
    """List your wake words with estimates of their errors and 95 % intervals.

    Misses: share of the clips that a word made of the other clips does not detect, as they are
    and with rooms and noise added. False/h: false accepts per hour on the built-in negatives.
    """
    place = chosen(context, tenant)
    with closing(open_voices(read_config(place.config), place.tenant)) as store:
        words = [word.info for word in store.load_words().values()]
    if json:
        print_json([_described(info) for info in words])
        return
    if not words:
        note(
            "You have no wake words of your own. "
            f"`streamd words add{place.as_option} NAME FILE…` makes one."
        )
        return
    rows = []
    for info in words:
        guess = info.estimate
        since = datetime.fromtimestamp(info.created_ms / 1000, UTC).astimezone()
        rows.append(
            (
                info.name,
                str(info.clips),
                _share(guess.missed_clean, guess.tries_clean),
                _share(guess.missed, guess.tries),
                _per_hour(guess),
                f"{info.threshold:g}",
                f"{since:%Y-%m-%d}",
                info.licence,
            )
        )
    console = stdout()
    console.print(listing(COLUMNS, rows, console.width))


@app.command()
def add(
    context: typer.Context,
    name: NameArgument,
    files: Annotated[
        list[Path],
        typer.Argument(help="Recordings of the phrase, each with the phrase once.", readable=False),
    ],
    threshold: Annotated[
        float,
        typer.Option(
            help="Score at which the word is detected; higher misses more, wakes less by mistake.",
            min=0.01,
            max=0.99,
        ),
    ] = 0.5,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the word of the same name.")
    ] = False,
    track: TrackOption = None,
    json: JsonOption = False,
    tenant: TenantOption = None,
) -> None:
    """Make a wake word from 3 to 50 recordings, best of several people in several rooms.

    The recordings are not kept. A running server offers the word within two seconds, to sessions
    that ask for it.
    """
    check_word(name)
    if name in {model.word.name for model in catalogue.MODELS if model.word}:
        raise NameTaken(f"wake word {name!r} comes with streamd; choose another name")
    if not MIN_CLIPS <= len(files) <= MAX_CLIPS:
        raise typer.BadParameter(
            f"a word needs {MIN_CLIPS} to {MAX_CLIPS} recordings, got {len(files)}"
        )
    if len({file.resolve() for file in files}) < len(files):
        raise typer.BadParameter("a recording is named twice; each counts once")
    place = chosen(context, tenant)
    settings = read_config(place.config)
    with closing(open_voices(settings, place.tenant)) as store:
        if name in store.load_words() and not replace:
            raise NameTaken(f"wake word {name!r} exists already; add --replace, or remove it first")
        library = load_library(NEEDED)
        backends = Backends(settings.engine)
        vad = SileroVad(backends.of(SileroVad.name), library)
        clips = [load_clip(file, vad, track) for file in files]
        refuse_copies(clips)
        wake = OpenWakeWord(backends.of(OpenWakeWord.name), library, ())
        with _bar(not json) as report:
            made = make_word(name, clips, wake, built_in(), threshold=threshold, report=report)
        store.add_word(made.word, replace=replace)
    info = made.word.info
    remarks = remarks_on(made)
    if json:
        print_json(_described(info) | {"warnings": remarks})
        return
    guess = info.estimate
    note(f"{name}: {info.clips} clips, a phrase of {info.phrase_ms / 1000:.2f} s")
    note(
        f"  misses: {_share(guess.missed_clean, guess.tries_clean)} of the clips as they are, "
        f"{_share(guess.missed, guess.tries)} of copies in noise and rooms"
    )
    note(
        f"  false accepts: {_per_hour(guess)} per hour, "
        f"on {guess.negatives_s / 3600:.1f} h of other audio"
    )
    for remark in remarks:
        note(f"  warning: {remark}")
    note(f'Use it with "words": ["{name}"] in `hello`, or in [wake] of the configuration.')


@app.command()
def remove(context: typer.Context, name: NameArgument, tenant: TenantOption = None) -> None:
    """Remove a word. Sessions that already use it keep it until they end."""
    place = chosen(context, tenant)
    settings = read_config(place.config)
    with closing(open_voices(settings, place.tenant)) as store:
        if not store.remove_word(name):
            raise NoSuchWord(
                f"you have no wake word named {name!r}; "
                f"`streamd words{place.as_option}` lists yours"
            )
    note(f"Removed {name}.")
    if name in settings.wake.words and place.tenant in (None, DEFAULT_TENANT):
        note(f"  [wake] words still names it ({settings.where('wake.words')}); remove it there too")


def _described(info: WordInfo) -> dict[str, Any]:
    guess, found = info.estimate, msgspec.to_builtins(info)
    hours = guess.negatives_s / 3600
    found["estimate"] |= {
        "misses_clean": _figure(guess.missed_clean, guess.tries_clean),
        "misses_altered": _figure(guess.missed, guess.tries),
        "false_accepts_per_h": {
            "value": round(guess.false_accepts / hours, 3),
            "ci95": [round(bound / hours, 3) for bound in poisson(guess.false_accepts)],
        },
    }
    described: dict[str, Any] = found
    return described


def _figure(missed: int, tries: int) -> dict[str, Any]:
    ci95 = [round(bound, 4) for bound in wilson(missed, tries)]
    return {"value": round(missed / tries, 4), "n": tries, "ci95": ci95}


def _share(missed: int, tries: int) -> str:
    low, high = wilson(missed, tries)
    return f"{100 * missed / tries:.0f} % ({100 * low:.0f}–{100 * high:.0f})"


def _per_hour(guess: WordEstimate) -> str:
    hours = guess.negatives_s / 3600
    low, high = poisson(guess.false_accepts)
    return f"{guess.false_accepts / hours:.1f} ({low / hours:.1f}–{high / hours:.1f})"


@contextmanager
def _bar(is_shown: bool) -> Iterator[Report]:
    with bars(BarColumn(), is_shown=is_shown) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda what, share: progress.update(task, description=what, completed=share)
