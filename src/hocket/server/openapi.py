"""The OpenAPI document, made of the table of routes: what is not in the table is not served."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from hocket._version import __version__
from hocket.server.answers import ErrorAnswer
from hocket.server.health import PROBES, Probe
from hocket.server.routing import Route

_REF: Final = "#/components/schemas/{name}"
_PLACE: Final = re.compile(r"\{(\w+)\}")
_ERRORS: Final = {
    "400": "What was asked cannot be read, or does not fit.",
    "401": "There is no good token.",
    "403": "The token lets its bearer look only, or another site's page asks.",
    "404": "There is no such thing.",
    "409": "It does not fit the present state; nothing has changed.",
    "421": "The server has another name.",
    "429": "Too many requests; the header Retry-After says when to come again.",
    "500": "A bug in Hocket.",
    "503": "The journal, or a process beside the server, did not answer.",
}
_WITH_BODY: Final = {
    "408": "The body came too slowly.",
    "413": "The body is too large.",
    "415": "The body is no JSON.",
}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """Give the document of some routes."""
    routes = list(routes)
    named = [kind for route in routes for kind in (route.body, route.gives) if kind is not None]
    kinds = list(dict.fromkeys([ErrorAnswer, *named, *(probe.gives for probe in PROBES)]))
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    schema_of = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of)
    for probe in PROBES:
        paths[probe.path] = {"get": _asked_by_anybody(probe, schema_of)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hocket", "version": __version__},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, schema_of: dict[Any, Any]) -> dict[str, Any]:
    words = _PLACE.sub("", route.path).split("/")
    found: dict[str, Any] = {
        "operationId": "_".join([route.method.lower(), *filter(None, words)]).replace(".", "_"),
        "summary": route.about,
        "description": f"The token has to allow: {route.role}.",
        "parameters": [*_places(route), *_query(route)],
        "responses": _responses(route, schema_of),
    }
    if route.body is not None:
        content = {"application/json": {"schema": schema_of[route.body]}}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _asked_by_anybody(probe: Probe, schema_of: dict[Any, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema_of[probe.gives]}}
    return {
        "operationId": f"get_{probe.path[1:]}",
        "summary": probe.about,
        "description": "No token is needed.",
        "security": [],
        "responses": {
            str(status): {"description": "So it is.", "content": content}
            for status in probe.statuses
        },
    }


def _places(route: Route) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1, "maxLength": 200}
    return [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name in _PLACE.findall(route.path)
    ]


def _query(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    found = msgspec.json.schema(route.query)
    schema = found["$defs"][found["$ref"].rpartition("/")[2]]
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": about,
        }
        for name, about in schema.get("properties", {}).items()
    ]


def _responses(route: Route, schema_of: dict[Any, Any]) -> dict[str, Any]:
    schema = {} if route.gives is None else {"schema": schema_of[route.gives]}
    content = {media: schema for media in route.media.split(" | ")}
    found: dict[str, Any] = {str(route.status): {"description": "Done.", "content": content}}
    error = {"application/json": {"schema": schema_of[ErrorAnswer]}}
    if route.notes:
        found["202"] = {"description": "Asked, and not answered yet.", "content": content}
    if route.gives is None and route.status == 200:
        found["206"] = {"description": "The bytes that were asked for.", "content": content}
        found["416"] = {"description": "There are fewer bytes.", "content": error}
    codes = {**_ERRORS, **(_WITH_BODY if route.body is not None else {})}
    for code, about in sorted(codes.items()):
        found[code] = {"description": about, "content": error}
    return found
