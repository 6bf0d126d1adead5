"""Photos given to the live page: the job, its progress, its page; what is refused."""

import io
import sys
import time

import pytest
from accessibility import faults_in_every_look, listen, until_announced
from drawn import read_sag
from live_server import NETWORK
from PIL import Image

from drawing.record import scores_of
from running.serve_jobs import Job, JobOptions, Jobs, ending_of
from running.serve_networks import NamedNetwork, networks_of
from utils import UserError

JOBS = {
    "crow": ("failed", "no class is called crow"),
    "finch": ("stopped", "stopped"),
    "jay": ("done", ""),
    "tern": ("running", "search"),
    "wren": ("waiting", ""),
}
BUNDLED = NamedNetwork((("model", "birds"),))


def photo(kind="PNG", size=(60, 50)) -> bytes:
    """Return a photo's file: all white, so that the planted network knows it."""
    file = io.BytesIO()
    Image.new("RGB", size, "white").save(file, kind)
    return file.getvalue()


def state_of(page, number=1):
    return page.get_attribute(f"#job-{number}", "data-state")


def wait_for(page, *states, number=1, seconds=60):
    """Wait until a job is in one of some states; return all that its line said."""
    lines = []
    end = time.monotonic() + seconds
    while not page.query_selector(f"#job-{number}") or state_of(page, number) not in states:
        assert time.monotonic() < end, lines
        if page.query_selector(f"#job-{number}"):
            lines.append(page.inner_text(f"#job-{number} .line"))
        time.sleep(0.05)
    return [*lines, page.inner_text(f"#job-{number} .line")]


def test_a_photo_is_explained_and_read(browse, served):
    page = browse(served.address, ready="body[data-live]")
    content = photo()
    page.set_input_files(
        "#photo-file", {"name": "my dog.png", "mimeType": "image/png", "buffer": content}
    )
    page.fill("#category", "1")
    page.select_option("#search", "diverse")
    page.click("#photo button")
    lines = wait_for(page, "done", "failed")
    assert state_of(page) == "done", lines
    assert len(set(lines) - {"waiting", "starting", "running", "done"}) > 0  # what it was at
    page.click("#job-1 a")
    page.wait_for_selector("body[data-ready]", state="attached")
    sag = read_sag(served.results / "live/explained/my_dog")
    assert page.inner_text("#name") == sag.title
    assert (sag.category.index, sag.search.method) == (1, "diverse")
    assert (served.results / "live/uploads/my_dog.png").read_bytes() == content
    assert sag.model.name == NETWORK


def test_what_is_no_photo_is_refused(browse, served):
    page = browse(served.address, ready="body[data-live]")
    file = {"name": "a.png", "mimeType": "image/png", "buffer": b"<svg onload=alert(1)>"}
    page.set_input_files("#photo-file", file)
    page.click("#photo button")
    page.locator("#photo-said.bad").wait_for()
    assert "not an image" in page.inner_text("#photo-said")


@pytest.mark.parametrize(
    "query", ["search=all", "baseline=drop", "network=9", "network=-1", "network=x", ""]
)
def test_a_choice_that_is_none_is_refused(served, query):
    status, _, content = served.ask(
        f"/api/jobs?name=a.png&{query}",
        "POST",
        body=photo() if query else b"",
        content_type="application/octet-stream",
    )
    assert status == 400 and b'"error"' in content


def test_a_photo_that_is_dropped_is_taken(browse, served):
    page = browse(served.address, ready="body[data-live]")
    page.evaluate(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File(["no image"], "dropped.png"));
          dispatchEvent(new DragEvent("drop", {dataTransfer: data, cancelable: true}));
        }"""
    )
    page.locator("#photo-said.bad").wait_for()


def answer_with(page, jobs) -> None:
    """Have a page be told of these jobs: {name: (state, line)}."""
    told = [
        {"number": n, "name": name, "state": state, "line": line, "folder": f"live/{name}"}
        for n, (name, (state, line)) in enumerate(jobs.items(), 1)
    ]
    page.unroute_all()
    page.route("**/api/jobs", lambda route: route.fulfill(json={"jobs": told}))


def test_the_page_announces_jobs_and_breaks_no_rule(browse, served):
    page = browse(served.address, ready="body[data-live]")
    answer_with(page, JOBS)
    page.reload()
    page.wait_for_selector("#job-5")
    listen(page)
    page.click("#photo button")
    until_announced(page, "Not accepted: choose a photo first")
    answer_with(page, {**JOBS, "tern": ("done", ""), "wren": ("failed", "no memory")})
    until_announced(page, "tern: done; wren: failed: no memory")
    assert faults_in_every_look(page) == []


# ---------------------------------------------------------------- the parts


@pytest.mark.parametrize(
    "kind, ending", [("PNG", ".png"), ("JPEG", ".jpg"), ("BMP", ".bmp"), ("WEBP", ".webp")]
)
def test_a_photo_is_named_by_its_content(kind, ending):
    assert ending_of(photo(kind)) == ending


@pytest.mark.parametrize("content", [b"", b"GIF89a", photo()[:20], b"\x89PNG" + b"\0" * 999])
def test_what_is_no_photo_has_no_ending(content):
    with pytest.raises(UserError, match="not an image"):
        ending_of(content)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..", "a/b\\c", "-rf", "\0", "x" * 400, "häh ü.png", "con.png"]
)
def test_a_photo_stays_in_the_uploads(tmp_path, name):
    path = Jobs(tmp_path)._keep(photo(), name, ".png")
    assert path.parent == tmp_path / "live/uploads" and not path.name.startswith((".", "-"))


def test_no_photo_replaces_another(tmp_path):
    jobs = Jobs(tmp_path)
    names = [jobs._keep(photo(), "a.png", ending).name for ending in (".png", ".jpg", ".png")]
    assert names == ["a.png", "a_2.jpg", "a_3.png"]


def test_uploads_that_lead_elsewhere_are_refused(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results/live").symlink_to(tmp_path)
    with pytest.raises(UserError, match="leads out"):
        Jobs(tmp_path / "results")._keep(photo(), "a.png", ".png")


def test_an_option_cannot_become_another():
    options = JobOptions(name="a", category="1 --model=x.py:f")
    assert options.arguments()[-1] == "--category=1 --model=x.py:f"


def test_the_progress_of_a_job_is_read():
    job = Job(1, "a.png", ())
    job.hear("\x1b[Asearch: 2 MSEs, sets of 4 patches: 117 sets [00:02, 45.1 sets/s]")
    assert job.line == "search: 2 MSEs, sets of 4 patches"
    job.hear("images:   0%|          | 0/1 [00:00<?, ?image/s]")
    assert job.line == "search: 2 MSEs, sets of 4 patches"
    job.hear("failed: a.png: out of memory")
    job.end(1)
    assert (job.state, job.line) == ("failed", "out of memory")


def test_a_killed_job_says_so():
    job = Job(1, "a.png", ())
    job.end(-9)
    assert job.line == "the job's process was killed (SIGKILL)"


def jobs_of(folder, script) -> Jobs:
    """Return jobs that run a script in place of the main job."""
    return Jobs(folder, program=(sys.executable, "-c", script))


def wait_until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_job_that_fails_says_why_in_one_line(tmp_path):
    script = "import sys; print('loading'); sys.exit('main_generate_sag.py: error: no class 999')"
    job = jobs_of(tmp_path, script).submit(photo(), JobOptions("a.png"), BUNDLED)
    wait_until(lambda: job.state == "failed")
    assert job.line == "no class 999"


def test_the_next_photo_s_job_runs_after_one_was_killed(tmp_path):
    jobs = jobs_of(tmp_path, "import time; time.sleep(60)")
    first, second = (jobs.submit(photo(), JobOptions("a.png"), BUNDLED) for _ in range(2))
    wait_until(lambda: first.process)
    assert second.state == "waiting"
    first.process.kill()
    wait_until(lambda: second.process)
    assert (first.state, first.line) == ("failed", "the job's process was killed (SIGKILL)")
    jobs.close()
    wait_until(lambda: second.line == "stopped")
    assert second.state == "stopped" and second.process.poll() is not None


def test_code_of_a_record_is_offered_only_if_the_user_names_it(served):
    sag = read_sag(served.results / "a")
    assert [network.name for network in networks_of([sag], None)] == ["birds"]
    assert [network.name for network in networks_of([sag, sag], NETWORK)] == [NETWORK]


def test_the_table_of_a_photo_s_record_grows_too(served):
    folder = "live/explained/my_dog"
    status, answer = served.question("score", folder=folder, sets=["f0f0"])
    assert status == 200 and len(answer["probabilities"]) == 1
    assert scores_of(read_sag(served.results / folder))
