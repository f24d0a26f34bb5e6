"""The OpenAPI document describes what is there."""

from __future__ import annotations

import re
from typing import Any

import orjson
from openapi_spec_validator import validate

from recommender.messages.requests import Request
from recommender.messages.responses import Recommended, Response
from recommender.web.api import STATUS
from recommender.web.openapi import FAILURES, document

DOCUMENT = document(0.5, 5, skips=False)
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]


def test_it_is_openapi() -> None:
    validate(orjson.loads(orjson.dumps(DOCUMENT)))


def test_it_has_every_field_of_a_request_and_of_a_response() -> None:
    assert set(SCHEMAS["Request"]["properties"]) == set(Request.__struct_fields__)
    place = {*Recommended._fields}
    assert set(SCHEMAS["Place"]["properties"]) == place
    answer = {*Response._fields, "ok", "as_of"} - {"partition", "offset", "journal"}
    assert set(SCHEMAS["Response"]["properties"]) == answer


def test_it_has_every_status_and_names_no_schema_that_is_not_there() -> None:
    assert {str(status) for status in STATUS.values()} == set(FAILURES)
    named = set(re.findall(r"#/components/schemas/(\w+)", orjson.dumps(DOCUMENT).decode()))
    assert named == set(SCHEMAS)
