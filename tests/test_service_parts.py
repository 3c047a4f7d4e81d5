"""Parts of the service on their own: guard, uploads, settings, description."""

import asyncio
import base64
import json
import logging
import sys
import time

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from service.answers import preferred
from service.guard import Guard, RequestError, while_connected
from service.logs import REQUEST_ID, JsonLines
from service.openapi import description
from service.settings import Settings
from service.uploads import parse

FORM = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\nab\r\n--x--\r\n'
JSON = {"Content-Type": "application/json"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}
ENCODING = "unsupported_encoding"
PNG = b"\x89PNG any content will do here"


# Guard and uploads, in front of an application that says what it got


def application(max_images=4, **options):
    refused = []

    async def echo(request: Request) -> JSONResponse:
        try:
            upload = await parse(request, max_images)
        except RequestError as error:
            return JSONResponse({"code": error.code, "message": error.message}, error.status)
        return JSONResponse(
            {
                "images": [[name, len(data)] for name, data in upload.images],
                "mode": upload.options.mode,
                "allowed": upload.options.allowed,
                "characters": upload.characters,
                "min_confidence": upload.min_confidence,
                "plain": upload.plain,
                "view": upload.view,
                "id": request.state.request_id,
            }
        )

    app = Starlette(routes=[Route(path, echo, methods=["POST"]) for path in ("/read", "/attention", "/livez")])
    defaults = {"api_key": "", "max_body": 100_000, "body_timeout": 0.5}
    return Guard(app, **(defaults | options), rejected=refused.append), refused


def asked(app, method, path, **request):
    async def run():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **request)

    return asyncio.run(run())


def post(app, path="/read", **request):
    return asked(app, "post", path, **request)


def files(*names):
    return [("images", (name, PNG, "image/png")) for name in names]


def encoded(*contents):
    return {"images": [{"name": f"{i}.png", "data": base64.b64encode(c).decode()} for i, c in enumerate(contents)]}


def test_three_ways_to_send_images():
    app, _ = application()
    assert post(app, files=files("a.png", "줄.png")).json()["images"] == [["a.png", len(PNG)], ["줄.png", len(PNG)]]
    assert post(app, content=PNG, headers={"Content-Type": "image/png"}).json()["images"] == [["image", len(PNG)]]
    assert post(app, json=encoded(PNG, b"xy")).json()["images"] == [["0.png", len(PNG)], ["1.png", 2]]
    bare = {"images": ["data:image/png;base64," + base64.b64encode(PNG).decode()]}
    assert post(app, json=bare).json()["images"] == [["image-1", len(PNG)]]


def test_options_come_as_fields_query_or_json():
    app, _ = application()
    wanted = {"mode": "ctc", "charset": "0123", "characters": "true", "min_confidence": "0.5"}
    got = [
        post(app, files=files("a"), data=wanted).json(),
        post(app, content=PNG, headers={"Content-Type": "image/png"}, params=wanted).json(),
        post(app, json=encoded(PNG) | wanted | {"characters": True, "min_confidence": 0.5}).json(),
    ]
    for answer in got:
        assert (answer["mode"], answer["allowed"], answer["characters"]) == ("ctc", "0123", True)
        assert answer["min_confidence"] == 0.5
    assert post(app, files=files("a"), headers={"Accept": "text/plain"}).json()["plain"]
    several = [("Accept", "application/xml"), ("Accept", "text/plain")]
    assert post(app, files=files("a"), headers=several).json()["plain"]
    assert not post(app, files=files("a"), headers={"Accept": "*/*"}).json()["plain"]


def test_the_view_of_attention_comes_like_any_option():
    app, _ = application()
    for request in (
        {"files": files("a"), "data": {"view": "encoder"}},
        {"files": files("a"), "params": {"view": "encoder"}},
        {"json": encoded(PNG) | {"view": "encoder"}},
    ):
        assert post(app, "/attention", **request).json()["view"] == "encoder"
    assert post(app, "/attention", files=files("a"), data={"view": "sideways"}).json()["code"] == "bad_option"
    of_answers = post(app, "/attention", files=files("a"), data={"characters": "true"}).json()
    assert of_answers["code"] == "unexpected_field" and "use mode, charset, view" in of_answers["message"]


def test_unknown_paths_and_methods_are_answered_like_any_error():
    app, _ = application()
    for path, method, status, code in (
        ("/raed", "post", 404, "not_found"),
        ("/read", "get", 405, "method_not_allowed"),
    ):
        answer = asked(app, method, path)
        assert answer.status_code == status and answer.json()["error"]["code"] == code
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
        assert answer.headers.get("allow") == (None if status == 404 else "POST")


def test_faults_of_the_server_are_answered_like_any_error():
    async def broken(*_):
        return JSONResponse({"error": "An unexpected error has occurred"}, 500)

    behind = Starlette(routes=[Route("/read", broken, methods=["POST"])])
    app = Guard(behind, api_key="", max_body=1000, body_timeout=0.5, rejected=lambda _: None)
    answer = post(app)
    assert answer.status_code == 500 and answer.json()["error"]["code"] == "internal"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_options_left_empty_are_as_if_not_given():
    app, _ = application()
    empty = dict.fromkeys(("mode", "charset", "characters", "min_confidence"), "")
    got = [
        post(app, files=files("a")).json(),
        post(app, files=files("a"), data=empty).json(),
        post(app, files=files("a"), params=empty).json(),
        post(app, json=encoded(PNG) | dict.fromkeys(empty)).json(),
    ]
    assert all({**one, "images": [], "id": ""} == {**got[0], "images": [], "id": ""} for one in got)


def test_empty_files_are_images_and_fields_left_empty_are_none():
    app, _ = application()
    assert post(app, files=[("images", ("null", b"", "image/png"))]).json()["images"] == [["null", 0]]
    field = b'--x\r\nContent-Disposition: form-data; name="images"; filename=""\r\n\r\n\r\n--x--\r\n'
    assert post(app, content=field, headers=MULTIPART).json()["code"] == "no_images"


def test_base64_may_be_broken_into_lines():
    app, _ = application()
    assert post(app, json={"images": [base64.encodebytes(PNG * 9).decode()]}).json()["images"] == [
        ["image-1", 9 * len(PNG)]
    ]


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"content": b"", "headers": {"Content-Type": "image/png"}}, 400, "no_images"),
        ({"content": FORM[: FORM.rindex(b"--x--")], "headers": MULTIPART}, 400, "bad_form"),  # cut off
        ({"content": PNG, "headers": {"Content-Type": "image/png", "Content-Encoding": "gzip"}}, 415, ENCODING),
        ({"files": files("a"), "data": {"view": "encoder"}}, 400, "unexpected_field"),  # of /attention alone
        ({"content": b"x"}, 415, "unsupported_media_type"),
        ({"content": b"x", "headers": {"Content-Type": "text/html"}}, 415, "unsupported_media_type"),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "bad_json"),
        ({"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}, 400, "bad_json"),
        ({"json": {"images": "x"}}, 400, "bad_json"),
        ({"json": {"images": [1]}}, 400, "bad_json"),
        ({"json": {"images": []}}, 400, "no_images"),
        ({"json": {"images": ["not base64!"]}}, 400, "bad_base64"),
        ({"json": {"images": ["eA=="], "nonsense": 1}}, 400, "unexpected_field"),
        ({"files": files(*"abcdefg")}, 413, "too_many_parts"),
        ({"json": encoded(*[b"x"] * 5)}, 413, "too_many_images"),
        ({"content": b"no form", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 400, "bad_form"),
        ({"content": b"no form", "headers": {"Content-Type": "multipart/form-data"}}, 400, "bad_form"),
        ({"files": [("images", (None, "http://example.org/a.png"))]}, 400, "unexpected_field"),
        ({"files": files("a"), "data": {"colour": "red"}}, 400, "unexpected_field"),
        ({"files": files("a"), "data": {"mode": "psychic"}}, 400, "bad_option"),
        ({"files": files("a"), "data": {"characters": "maybe"}}, 400, "bad_option"),
        ({"files": files("a"), "data": {"min_confidence": "nan"}}, 400, "bad_option"),
        ({"files": [*files("a"), ("mode", ("mode.txt", b"ctc"))]}, 400, "bad_option"),
        ({"files": files("a"), "data": {"mode": ["ctc", "joint"]}}, 400, "bad_option"),
        ({"files": files("a"), "params": [("mode", "psychic"), ("mode", "ctc")]}, 400, "bad_option"),
        ({"json": {"images": [{"data": "eA==", "mode": "ctc"}]}}, 400, "bad_json"),
        ({"json": {"images": [{"data": "eA==", "name": ["a"]}]}}, 400, "bad_json"),
        ({"content": b'{"images":[{"data":"eA==","\\ud800":1}]}', "headers": JSON}, 400, "bad_json"),
        ({"json": {"images": ["data:image/png,abc"]}}, 400, "bad_base64"),
        ({"json": encoded(PNG) | {"charset": 5}}, 400, "bad_option"),
        ({"json": encoded(PNG) | {"charset": "0" * 12_001}}, 400, "bad_option"),
        ({"files": files("a"), "data": {"mode": "ctc"}, "params": {"mode": "joint"}}, 400, "bad_option"),
        ({"json": {"images": ["not base64!"] * 5}}, 413, "too_many_images"),
        ({"json": encoded(PNG) | {"charset": " "}}, 400, "bad_option"),
        ({"content": json.dumps(encoded(PNG) | {"charset": "\ud800"}), "headers": JSON}, 400, "bad_option"),
        (
            {"content": json.dumps(encoded(PNG))[:-1] + ', "min_confidence": 1' + "0" * 400 + "}", "headers": JSON},
            400,
            "bad_option",
        ),
        (
            {"content": FORM, "headers": {"Content-Type": "multipart/form-data; boundary=x; charset=undefined"}},
            400,
            "bad_form",
        ),
        (
            {"content": PNG, "headers": {"Content-Type": "image/png"}, "params": {"carset": "01"}},
            400,
            "unexpected_field",
        ),
    ],
)
def test_bad_requests_get_a_code_and_a_sentence(request_, status, code):
    app, _ = application()
    response = post(app, **request_)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert "\n" not in response.json()["message"]


def test_calls_in_the_manner_of_bentoml_itself_are_no_requests():
    app, refused = application()
    response = post(app, content=b"x", headers={"Content-Type": "application/vnd.bentoml+pickle"})
    assert response.status_code == 415 and response.json()["error"]["code"] == "unsupported_media_type"
    assert refused == ["unsupported_media_type"]


def test_bodies_are_limited_declared_or_not():
    app, refused = application(max_body=1000)
    assert post(app, content=bytes(2000), headers={"Content-Type": "image/png"}).status_code == 413

    async def chunks():
        for _ in range(10):
            yield bytes(300)

    response = post(app, content=chunks(), headers={"Content-Type": "image/png"})
    assert response.status_code == 413
    assert refused == ["body_too_large"]  # the second is counted where it is parsed


def test_slow_bodies_are_cut_off():
    app, _ = application(body_timeout=0.1)

    async def drip():
        while True:
            yield b"x"
            await asyncio.sleep(0.05)

    started = time.perf_counter()
    response = post(app, content=drip(), headers={"Content-Type": "image/png"})
    assert response.status_code == 408
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(("leaves", "status"), [(False, 504), (True, 499)])
def test_answers_that_nobody_awaits_are_given_up(leaves, status):
    given_up = []

    async def answer():
        try:
            await asyncio.sleep(60)
        finally:
            given_up.append(True)

    async def receive():
        await asyncio.sleep(0.02 if leaves else 60)
        return {"type": "http.disconnect"}

    async def ask():
        with pytest.raises(RequestError) as refusal:
            await while_connected(Request({"type": "http"}, receive), answer(), 0.2)
        await asyncio.sleep(0)
        return refusal.value.status

    assert asyncio.run(ask()) == status
    assert given_up == [True]


def test_api_key():
    app, refused = application(api_key="geheim")
    for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer wrong"}, {"Authorization": "geheim"}):
        response = post(app, files=files("a"), headers=headers)
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "unauthorized"
        assert response.json()["request_id"] == response.headers["x-request-id"]
    for headers in ({"X-API-Key": "geheim"}, {"Authorization": "Bearer geheim"}, {"Authorization": "bearer geheim"}):
        assert post(app, files=files("a"), headers=headers).status_code == 200
    assert post(app, "/livez", files=files("a")).status_code == 200
    assert refused == ["unauthorized"] * 4


def test_bodies_without_a_key_are_taken_in_before_they_are_refused():
    """Many clients read no answer before they have sent all."""
    app, _ = application(api_key="geheim")
    sent = []

    async def body():
        for part in range(5):
            sent.append(part)
            yield b"x" * 1000

    assert post(app, content=body(), headers={"Content-Type": "image/png"}).status_code == 401
    assert len(sent) == 5


def test_request_ids_are_kept_if_sane():
    app, _ = application()
    response = post(app, files=files("a"), headers={"X-Request-ID": "order-66"})
    assert response.headers["x-request-id"] == response.json()["id"] == "order-66"
    forged = post(app, files=files("a"), headers={"X-Request-ID": "a b\tc"})
    assert forged.headers["x-request-id"] != "a b\tc"
    assert forged.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in forged.headers["content-security-policy"]


def test_access_log_is_json_without_content(caplog):
    app, _ = application()
    with caplog.at_level("INFO", logger="ocrformer.access"):
        post(app, files=files("secret-name.png"))
    (record,) = [json.loads(JsonLines().format(r)) for r in caplog.records if r.name == "ocrformer.access"]
    assert record["status"] == 200 and record["path"] == "/read" and record["milliseconds"] >= 0
    assert record["level"] == "info" and "secret-name" not in str(record)


def test_tracebacks_are_one_json_line():
    try:
        raise RuntimeError("two\nlines")
    except RuntimeError:
        record = logging.LogRecord("bentoml", logging.ERROR, __file__, 1, "it %s", ("failed",), sys.exc_info())
    line = JsonLines().format(record)
    assert "\n" not in line
    said = json.loads(line)
    assert said["message"] == "it failed" and "RuntimeError: two" in said["traceback"] and "request_id" not in said
    token = REQUEST_ID.set("id-1")
    assert json.loads(JsonLines().format(record))["request_id"] == "id-1"
    REQUEST_ID.reset(token)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "image/png"),
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("IMAGE/GIF", "image/gif"),
        ("image/png, image/gif;q=0.5", "image/png"),
        ("application/json, text/html;q=0.1", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", "text/html"),
        ("image/png;q=0, application/*", "application/json"),
        ("text/html;q=x, image/gif; level=1; q=0.2", "image/gif"),
        ("video/mp4", "image/png"),
    ],
)
def test_the_media_type_that_is_wanted_most(accept, kind):
    assert preferred(accept, ("image/png", "image/gif", "text/html", "application/json")) == kind


# Settings and description


def test_settings_from_environment():
    settings = Settings.from_environment(
        {"OCRFORMER_MAX_IMAGES": "7", "OCRFORMER_TIMEOUT": "2.5", "OCRFORMER_API_KEY": "k\n"}
    )
    assert (settings.max_images, settings.timeout, settings.api_key) == (7, 2.5, "k")
    assert Settings.from_environment({}) == Settings()
    for wrong, said in (("many", "a whole number"), ("2.5", "a whole number"), ("-1", "positive"), ("0", "positive")):
        with pytest.raises(ValueError, match=f"OCRFORMER_QUEUE must be {said}"):
            Settings.from_environment({"OCRFORMER_QUEUE": wrong})
    with pytest.raises(ValueError, match="OCRFORMER_TIMEOUT must be positive and finite"):
        Settings.from_environment({"OCRFORMER_TIMEOUT": "1e400"})
    with pytest.raises(ValueError, match="OCRFORMER_API_KEY is set, but blank"):
        Settings.from_environment({"OCRFORMER_API_KEY": "\n"})
    with pytest.raises(ValueError, match="OCRFORMER_MODEL: /nope: no such weights file"):
        Settings.from_environment({"OCRFORMER_MODEL": "/nope"})


def test_description_names_every_way_and_error():
    document = description(with_key=True)
    read = document["paths"]["/read"]["post"]
    assert set(read["requestBody"]["content"]) == {"multipart/form-data", "application/json", "image/*"}
    assert {"200", "400", "401", "408", "413", "415", "429", "504"} <= set(read["responses"])
    assert document["security"] and not description(with_key=False).get("security")
