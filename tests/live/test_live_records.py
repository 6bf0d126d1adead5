"""Answers kept in records: still checked, still recognised; whose network answers."""

import shutil
import signal
import time

import msgspec
import pytest
from drawn import read_sag
from live_server import NETWORK, start
from main_job import run_planted, wrong_claims

import draw_sag
from drawing.record import encode_sag, scores_of
from running.record_files import write_record
from running.serve_messages import Ask, WorkerSettings
from running.serve_records import LiveRecords
from running.serve_worker import Worker

NEW = (0, 2, 3, 4, 7, 15)


@pytest.fixture
def folder(served, tmp_path):
    """A copy of a result folder that no run has noted."""
    return shutil.copytree(served.results / "birds/b", tmp_path / "results/birds/b")


def learnt(folder, answers):
    """Keep answers in a folder's record; return the records."""
    records = LiveRecords(folder)
    records.get(folder).learn(answers)
    records.save()
    return records


def test_an_answer_is_kept(folder):
    before = scores_of(read_sag(folder))
    learnt(folder, {NEW: 0.25})
    assert scores_of(read_sag(folder)) == {**before, NEW: 0.25}


def test_nothing_else_in_the_record_changes(folder):
    before = msgspec.to_builtins(read_sag(folder))
    learnt(folder, {NEW: 0.25})
    after = msgspec.to_builtins(read_sag(folder))
    assert {**after, "scores": None} == {**before, "scores": None}


def test_the_saved_page_has_the_answers_at_the_end(folder, visit):
    learnt(folder, {NEW: 0.475}).close()
    page = visit(folder / "sag.html")
    page.evaluate(f"choose({list(NEW)})")
    assert page.inner_text("#confidence") == "50 %"


def test_a_record_that_a_run_replaced_stays(folder):
    records = LiveRecords(folder)
    records.get(folder).learn({NEW: 0.25})
    other = read_sag(folder)
    other.settings["beam_width"] = 9
    write_record(folder / "sag.json", other)
    records.save()
    assert (folder / "sag.json").read_bytes() == encode_sag(other)


def test_a_record_that_is_gone_is_not_made_again(folder):
    records = LiveRecords(folder)
    records.get(folder).learn({NEW: 0.25})
    (folder / "sag.json").unlink()
    records.save()
    assert not (folder / "sag.json").exists()


def test_the_record_check_passes_and_the_run_recognises_it(tmp_path, served):
    sets = {f"{number:x}" for number in (0x1234, 0xBEEF, 0x7777, 0x0FF0)}
    status, answer = served.question("score", folder="a", sets=sorted(sets))
    assert status == 200, answer
    end = time.monotonic() + 10
    while not sets <= set(read_sag(served.results / "a").scores.sets.split()):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert not [path for path in (served.results / "a").rglob(".*") if path.is_file()]
    record = shutil.copytree(served.results / "a", tmp_path / "out/a") / "sag.json"
    shutil.copytree(served.images, tmp_path / "images", ignore=lambda *_: ["birds"])
    assert wrong_claims(tmp_path / "out", tmp_path / "images") == []
    content = record.read_bytes()
    assert run_planted(tmp_path / "images", tmp_path / "out", "--search", "exhaustive") == 0
    assert record.read_bytes() == content


def test_sigterm_ends_the_server_as_ctrl_c_does(tmp_path):
    server = start(tmp_path, None)
    assert server.ask("/results/index.html")[0] == 200
    assert server.end(signal.SIGTERM) == 130
    assert server.process.stderr.read() == "draw_sag.py: interrupted\n"


# ---------------------------------------------------------------- whose network answers


def error_of(folder, model):
    """Return why the network of a folder's record is not opened."""
    worker = Worker(WorkerSettings(model=model, device="cpu"))
    return worker.answer(Ask(folder, "", [(0,)])).error


def test_code_of_a_record_runs_only_if_the_user_names_it(folder):
    assert "runs only if you name it too" in error_of(folder, None)
    assert error_of(folder, NETWORK) is None


@pytest.mark.parametrize("field, words", [("weights_sha256", "weights"), ("code_sha256", "code")])
def test_another_network_than_the_record_s_is_refused(folder, field, words):
    sag = read_sag(folder)
    setattr(sag.model, field, "0" * 64)
    write_record(folder / "sag.json", sag)
    assert f"other {words} than" in error_of(folder, NETWORK)


def test_a_network_with_other_answers_than_the_record_s_is_refused(folder):
    sag = read_sag(folder)
    sag.probability -= 0.01
    write_record(folder / "sag.json", sag)
    assert "and the record has 0.94" in error_of(folder, NETWORK)


# ---------------------------------------------------------------- the command


def test_a_folder_that_is_not_there_is_one_line(capsys, tmp_path):
    assert draw_sag.main(["serve", str(tmp_path / "nothing")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_a_port_that_is_taken_is_one_line(capsys, served):
    assert draw_sag.main(["serve", str(served.results), "--port", str(served.port)]) == 2
    assert f"--port {served.port}: " in capsys.readouterr().err


def test_without_its_packages_serve_says_what_to_install(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    assert draw_sag.main(["serve", str(tmp_path)]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "requirements_serve.txt" in line
