"""A thousand requests that a machine made up from the OpenAPI: each is answered, none breaks it."""

import warnings

import pytest

from tests.service.conftest import BEARER

ASKED = 1_000
# Commands would stop the service from being the same for every request.
NOWHERE = "one that does not"  # a name such as ".." is a step in a path
LEFT_OUT = {"/api/commands/{name}"}


@pytest.fixture
def schema(client):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it imports, none of ours
        schemathesis = pytest.importorskip("schemathesis")
        described = client.get("/openapi.json").json()
        return schemathesis.openapi.from_dict(described)


def test_the_description_names_every_refusal(still):
    described = still.get("/openapi.json").json()
    assert described["openapi"].startswith("3.")
    for path, methods in described["paths"].items():
        for method, told in methods.items():
            refusals = {code for code in told["responses"] if code >= "400"}
            for code in refusals:
                content = told["responses"][code]["content"]
                assert set(content) == {"application/problem+json"}, (path, method, code)
            assert {"401", "408", "413", "421", "500"} <= refusals, (path, method)
            given = "requestBody" in told or "{" in path
            assert ("400" in refusals) == given, (path, method)
            assert ("403" in refusals) == (method != "get"), (path, method)
            assert told["summary"]
            assert told["description"]
            assert told["summary"] == told["summary"].strip()
            assert told["operationId"][0] != "_"


@pytest.mark.parametrize("private", [False, True])
def test_the_description_says_how_a_token_comes_and_who_needs_one(planned, opened, private):
    client = opened(planned, private=private)
    described = client("GET", "/openapi.json").json()
    schemes = described["components"]["securitySchemes"]
    assert schemes == {"token": {"type": "http", "scheme": "bearer"}}
    for path, methods in described["paths"].items():
        for method, told in methods.items():
            address = path.replace("{name}", "none")
            refused = client(method.upper(), address, {"none": 1}, token=False).status_code == 401
            assert told["security"] == [*([] if refused else [{}]), {"token": []}], (path, method)


@pytest.mark.parametrize(
    ("status", "content", "headers"),
    [
        (400, b"\xff", {}),
        (401, b"{}", {"Authorization": "Bearer of-something-else"}),
        (403, b"{}", {"Origin": "https://elsewhere.example"}),
        (421, b"{}", {"Host": "elsewhere.example"}),
    ],
)
def test_what_anybody_may_ask_is_refused_as_the_description_says(still, status, content, headers):
    described = still.get("/openapi.json").json()["paths"]["/api/search"]["post"]["responses"]
    known = {"Content-Type": "application/json", **headers}
    told = still("POST", "/api/search", headers=known, token=False, content=content)
    assert told.status_code == status
    assert str(status) in described


def test_a_path_with_a_stroke_too_many_leads_nowhere(still):
    """A redirection would name http behind a proxy that speaks TLS, and the token would follow."""
    told = still.get("/api/status/", follow_redirects=False)
    assert (told.status_code, told.json()["got"]) == (404, "one that does not")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
@pytest.mark.timeout(240)
def test_a_thousand_malformed_requests(client, planned, schema):
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st
    from schemathesis import GenerationMode

    operations = [one.ok() for one in schema.get_all_operations()]
    operations = [one for one in operations if one.path not in LEFT_OUT]
    counts = {"asked": 0, "refused": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = st.one_of(
            *(
                one.as_strategy(generation_mode=mode)
                for one in operations
                for mode in (GenerationMode.NEGATIVE, GenerationMode.POSITIVE)
                if mode is GenerationMode.POSITIVE or one.body or one.query or one.path_parameters
            )
        )

    @settings(
        max_examples=ASKED,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def ask(case):
        told = send(client, case)
        counts["asked"] += 1
        counts["refused"] += told.status_code >= 400
        described = case.operation.definition.raw["responses"]
        routed = told.status_code in (404, 405) and told.json()["got"] in ("another", NOWHERE)
        assert str(told.status_code) in described or routed, told.text
        assert told.status_code in (*range(200, 500), 502), (case.method, case.path, told.text)
        if told.status_code >= 400:
            assert told.headers["content-type"] == "application/problem+json"
            assert set(told.json()) == {
                *("type", "title", "status", "detail", "who", "expected", "got", "fix"),
            }

    ask()
    assert counts["asked"] >= ASKED
    assert counts["refused"] > ASKED / 4
    assert client.status()["state"] == "planned"
    assert len(client.ids("w1", 1000)) >= 0.5 * len(planned.documents)  # deletes were asked for too


def send(client, case):
    """The request of a case, as it would go over the wire."""
    import requests

    prepared = requests.Request(
        **case.as_transport_kwargs(base_url="http://127.0.0.1:8111")
    ).prepare()
    headers = {
        name: value
        for name, value in prepared.headers.items()
        if name.lower() not in ("host", "cookie", "authorization", "content-length")
    }
    body = prepared.body
    content = body.encode() if isinstance(body, str) else body
    path = prepared.url.removeprefix("http://127.0.0.1:8111")
    return client(prepared.method, path, headers={**headers, **BEARER}, content=content)
