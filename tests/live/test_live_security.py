"""Who may ask the live page's server, and what it may read."""

from pathlib import Path

import pytest

from running.serve_security import Guarded, new_token, path_below

OPTIONS = ("GET", "POST", "OPTIONS", "PUT")


def test_the_address_has_a_token(served):
    assert served.ask("/results/index.html")[0] == 200


def test_tokens_are_long_and_differ():
    assert len({new_token() for _ in range(50)}) == 50 and len(new_token()) >= 32


@pytest.mark.parametrize("token", ["results", "x" * 32, "%00", "é".encode().hex()])
@pytest.mark.parametrize("path", ["/results/index.html", "/api/jobs", "/", ""])
def test_a_wrong_token_is_forbidden(served, token, path):
    status, _, content = served.ask(path, token=token)
    assert status == 403 and content == b"forbidden\n"


def test_only_this_machine_can_connect(served):
    lines = Path(f"/proc/{served.process.pid}/net/tcp").read_text().splitlines()[1:]
    port = f"{served.port:04X}"
    listening = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    assert [place for place in listening if place.endswith(port)] == [f"0100007F:{port}"]


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "%2e%2e/secret.png",
        "..%2fsecret.png",
        "%2e%2e%2fsecret.png",
        "%252e%252e/secret.png",
        "a/../../secret.png",
        "a/..%5c..%5csecret.png",
        "/etc/passwd",
        "%2fetc/passwd",
        "link.png",
        "away/a.png",
        "away/../a/dnf.txt",
        "a/.sag.json.undrawn",
        ".hidden",
        "a%00/dnf.txt",
        "a//dnf.txt",
        "a/./dnf.txt",
        "a/",
        "a",
        "missing/sag.html",
        "../sag.html",
        "away/sag.html",
    ],
)
def test_nothing_outside_of_the_results_is_read(served, name):
    assert served.ask(f"/results/{name}")[0] == 404


@pytest.mark.parametrize("folder", ["..", "../images", "away", "a/..", "/etc", ".", "birds"])
def test_no_record_outside_of_the_results_is_asked(served, folder):
    status, answer = served.question("score", folder=folder, sets=["1"])
    assert status == 400 and set(answer) == {"error"}


def test_a_file_of_the_results_is_read(served):
    status, headers, content = served.ask("/results/a/dnf.txt")
    assert status == 200 and content == (served.results / "a/dnf.txt").read_bytes()
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["localhost:{}", "evil.example:{}", "127.0.0.1", "evil.example"])
def test_another_host_is_forbidden(served, host):
    assert served.ask("/results/index.html", host=host.format(served.port))[0] == 403


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", ""])
def test_another_origin_is_forbidden(served, method, origin):
    assert served.ask("/api/jobs", method, origin=origin, body=b"")[0] == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_page_sends_is_forbidden(served, site):
    assert served.ask("/results/index.html", sec_fetch_site=site)[0] == 403


def test_no_answer_allows_other_origins(served):
    for method in OPTIONS:
        _, headers, _ = served.ask("/api/jobs", method, body=b"")
        assert not [name for name in headers if name.startswith("access-control")]


def test_a_page_runs_its_own_scripts_only(served):
    _, headers, content = served.ask("/results/a/sag.html")
    policy = headers["content-security-policy"]
    nonce = policy.partition("'nonce-")[2].partition("'")[0]
    scripts = [part.partition(">")[0] for part in content.decode().split("<script")[1:]]
    run = [attributes for attributes in scripts if "type=" not in attributes]
    assert "default-src 'none'" in policy and "unsafe-inline'; script" in policy
    assert len(nonce) > 16 and set(run) == {f' nonce="{nonce}"'}
    assert "'unsafe-inline'" not in policy.partition("script-src")[2]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_form_of_another_page_asks_nothing(served, kind):
    headers = {"content_type": kind} if kind else {}
    for path in ("/api/score", "/api/jobs?name=a.png"):
        assert served.ask(path, "POST", body=b'{"folder":"a","sets":["1"]}', **headers)[0] == 415


@pytest.mark.parametrize(
    "values",
    [
        {"folder": "a", "sets": ["10000"]},
        {"folder": "a", "sets": ["-1"]},
        {"folder": "a", "sets": ["x"]},
        {"folder": "a", "sets": ["1"] * 257},
        {"folder": "a"},
        {"folder": "a", "sets": ["1"], "device": "cuda"},
        {"folder": 3, "sets": []},
    ],
)
def test_a_question_that_makes_no_sense_is_one_line(served, values):
    status, answer = served.question("score", **values)
    assert status == 400 and "\n" not in answer["error"]


def test_a_question_of_a_gigabyte_is_not_read(served):
    status, _, content = served.ask(
        "/api/score", "POST", body=b" " * 1_000_001, content_type="application/json"
    )
    assert status == 400 and b"more than 1 MB" in content


# ---------------------------------------------------------------- the parts


@pytest.mark.parametrize(
    "headers", [[], [(b"host", b"127.0.0.1:80"), (b"host", b"evil")], [(b"host", b"127.0.0.1:81")]]
)
def test_one_host_and_no_other(headers):
    guarded = Guarded(None, port=80, token="t")
    assert not guarded.may_enter({"path": "/t/", "headers": headers})
    assert guarded.may_enter({"path": "/t/", "headers": [(b"host", b"127.0.0.1:80")]})


def test_a_link_inside_the_results_may_be_followed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert path_below(tmp_path, "b") == (tmp_path / "a").resolve()
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    assert path_below(tmp_path, "circle") is None
    assert path_below(tmp_path, "x" * 5000) is None
