"""A client of a schema registry: what a schema's id stands for, kept for ever, since it never changes."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, NamedTuple

from recommender.errors import RecommenderError
from recommender.ingest.sources.mapping import SourcesError
from recommender.ingest.sources.schema_ids import SchemaId

TIMEOUT = 10.0
#: Where Apicurio has Confluent's interface.
_CONFLUENTS = "/apis/ccompat/"
#: The largest answer that is read, in bytes.
_LARGEST = 16 * 1024 * 1024
#: What registries say, with status 404, of an id that they do not know.
_UNKNOWN_CODES = (40403, 40401, 40402)


class RegistryAway(Exception):
    """The registry gives no answer that can be used; it may later."""


class SchemaUnknown(Exception):
    """The registry does not know the id, or not yet: its replicas may lag."""


class Schema(NamedTuple):
    """A schema as it is registered.

    Attributes
    ----------
    kind : str
        ``AVRO``, ``PROTOBUF`` or ``JSON``.
    text : str
    references : tuple of (str, Schema)
        Those that it uses, by the names that it uses them under, with theirs before it.
    """

    kind: str
    text: str
    references: tuple[tuple[str, Any], ...] = ()


class Registry:
    """A schema registry with Confluent's interface.

    Parameters
    ----------
    url : str
        With the path before ``/schemas/ids``, as Apicurio's ``/apis/ccompat/v7``.
    user, password : str
        For basic authentication; none if `user` is empty.
    cafile : str
        File of the authorities to trust; empty: the system's.
    timeout : float
        How long an answer may take, in seconds.
    """

    def __init__(
        self, url: str, user: str = "", password: str = "", cafile: str = "", *, timeout: float = TIMEOUT
    ) -> None:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise SourcesError(f"RECOMMENDER_REGISTRY has value {url!r}: expected a URL, http or https")
        self.url = url.rstrip("/")
        self._timeout, self._authorization = timeout, ""
        if user:
            self._authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        try:
            self._context = ssl.create_default_context(cafile=cafile or None)
        except OSError as error:
            raise SourcesError(
                f"RECOMMENDER_REGISTRY_CAFILE has value {cafile!r}: cannot be read ({error})"
            ) from None
        self._known: dict[SchemaId, Schema] = {}
        self._lock = threading.Lock()

    def known(self, schema_id: SchemaId) -> Schema | None:
        """A schema that was fetched before."""
        return self._known.get(schema_id)

    def fetch(self, schema_id: SchemaId) -> Schema:
        """A schema by its id; to be called in a thread.

        Raises
        ------
        SchemaUnknown
            The registry says that there is none.
        RegistryAway
            The registry cannot be reached, refuses, or answers what is no schema.
        SourcesError
            The registry cannot find schemas by such ids.
        """
        with self._lock:
            if schema_id not in self._known:
                number = self._content_id(schema_id) if schema_id.is_global else schema_id.name
                by_number = isinstance(number, int)
                path = f"/schemas/ids/{number}" if by_number else f"/schemas/guids/{number}"
                try:
                    answer = self._get(self.url + path)
                except _NotFound as error:
                    if not by_number and error.code not in _UNKNOWN_CODES:
                        raise SourcesError(
                            f"{self.url} has no schemas by GUID, as a record names its own "
                            f"({schema_id}): expected a registry that has, such as Confluent's from 8.0 on"
                        ) from None
                    raise SchemaUnknown(f"{self.url} knows no schema {schema_id}") from None
                self._known[schema_id] = self._schema(answer, {})
            return self._known[schema_id]

    def _content_id(self, schema_id: SchemaId) -> int:
        """The number that Confluent's interface has for a global id, which only Apicurio's own knows."""
        root, found, _ = self.url.partition(_CONFLUENTS)
        try:
            if not found:
                raise _NotFound(0)
            answer = self._get(f"{root}/apis/registry/v3/search/versions?globalId={schema_id.name}")
        except _NotFound:
            raise SourcesError(
                f"{self.url} has no schemas by Apicurio's global ids, as a record names its own "
                f"({schema_id}): expected Apicurio's registry from 3.0 on, as http://HOST:PORT{_CONFLUENTS}v7"
            ) from None
        try:
            versions = answer["versions"]
            if not versions:
                raise SchemaUnknown(f"{self.url} knows no schema {schema_id}")
            return int(versions[0]["contentId"])
        except (KeyError, TypeError, ValueError, IndexError):
            raise RegistryAway(f"{self.url} answers what is no version of a schema") from None

    def _schema(self, answer: Any, seen: dict[tuple[str, Any], Schema]) -> Schema:
        """A schema from an answer, with those that it refers to."""
        if not isinstance(answer, dict) or not isinstance(answer.get("schema"), str):
            raise RegistryAway(f"{self.url} answers what is no schema")
        references = []
        for each in answer.get("references") or ():
            place = each["subject"], each["version"]
            if place not in seen:
                subject = urllib.parse.quote(each["subject"], safe="")
                try:
                    found = self._get(f"{self.url}/subjects/{subject}/versions/{each['version']}")
                except _NotFound:
                    raise SchemaUnknown(f"{self.url} knows no schema {place[0]} {place[1]}") from None
                seen[place] = self._schema(found, seen)
            references.append((str(each["name"]), seen[place]))
        return Schema(str(answer.get("schemaType") or "AVRO").upper(), answer["schema"], tuple(references))

    def _get(self, url: str) -> Any:
        request = urllib.request.Request(url, headers={"Accept": _ACCEPTED})
        if self._authorization:
            request.add_header("Authorization", self._authorization)
        https = self.url.startswith("https")
        try:
            with urllib.request.urlopen(
                request, timeout=self._timeout, context=self._context if https else None
            ) as answer:
                return json.loads(answer.read(_LARGEST))
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    raise _NotFound(_code_in(error)) from None
            raise RegistryAway(f"{self.url} answers {error.code} {error.reason}") from None
        except (OSError, ValueError) as error:
            raise RegistryAway(f"{self.url}: {getattr(error, 'reason', error)}") from None


_ACCEPTED = "application/vnd.schemaregistry.v1+json, application/json"


class _NotFound(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _code_in(error: urllib.error.HTTPError) -> int:
    """The registry's own code of an error; 0 of an answer that is not a registry's."""
    try:
        return int(json.loads(error.read(_LARGEST))["error_code"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def require(kind: str, error: ImportError) -> RecommenderError:
    """The error where an extra is not installed."""
    return SourcesError(
        f"{kind} needs a package that is not installed ({error.name}): pip install "
        f"'faust-recommender[{kind.lower()}]'"
    )
