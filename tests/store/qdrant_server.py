"""A server that speaks as much of Qdrant's REST as the store uses, over the client's local mode.

It shows that what the store sends can be read again from JSON and means the same. It is not
Qdrant: what only a real server does (shards, graphs, optimisers) is not shown by it.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pydantic import TypeAdapter
from qdrant_client import QdrantClient, models


class Qdrant(ThreadingHTTPServer):
    """Listens on a free port of this machine; `fail` is how many requests get 503 first."""

    daemon_threads, version = True, "1.20.0"

    def __init__(self, key=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.client, self.key, self.fail, self.asked = QdrantClient(":memory:"), key, 0, []
        self.callers = []  # ports that requests came from
        self.indexes, self.lock = {}, threading.RLock()
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def stop(self):
        self.shutdown()
        self.server_close()
        self.thread.join()
        self.client.close()


def read(kind, data):
    return None if data is None else TypeAdapter(kind).validate_python(data)


def selected(body):
    """What a request points at: ids, or a filter."""
    if "points" in body:
        return models.PointIdsList(points=body["points"])
    return models.FilterSelector(filter=read(models.Filter, body["filter"]))


def done():
    return {"operation_id": 0, "status": "completed"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer("GET")

    def do_PUT(self):
        self.answer("PUT")

    def do_POST(self):
        self.answer("POST")

    def do_DELETE(self):
        self.answer("DELETE")

    def answer(self, verb):
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        server, path = self.server, self.path.partition("?")[0].strip("/").split("/")
        server.asked.append((verb, "/".join(path), body))
        server.callers.append(self.client_address[1])
        if server.key and self.headers.get("api-key") != server.key:
            self.send(403, {"status": {"error": "forbidden"}})
        elif server.fail:
            server.fail -= 1
            self.send(503, {"status": {"error": "not now"}})
        elif path == [""]:
            told = {"title": "qdrant", "version": server.version}
            self.send(*((200, told) if server.version else (404, {})))
        else:
            with server.lock:
                result = self.act(verb, path, body)
            self.send(200, {"result": result, "status": "ok", "time": 0.0})

    def send(self, status, data):
        text = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def act(self, verb, path, body):
        client = self.server.client
        match verb, *path:
            case "GET", "aliases":
                return dump(client.get_aliases())
            case "POST", "collections", "aliases":
                steps = read(list[models.AliasOperations], body["actions"])
                return client.update_collection_aliases(steps)
            case _, "collections", name, "points", *rest:
                return self.points(client, name, verb, rest, body)
            case _, "collections", name, *rest:
                return self.collection(client, name, verb, rest, body)
        raise AssertionError((verb, path))

    def collection(self, client, name, verb, rest, body):
        match verb, *rest:
            case "GET", "exists":
                return {"exists": client.collection_exists(name)}
            case ("GET",):
                told = dump(client.get_collection(name))
                kinds = self.server.indexes.get(name, {})
                schema = {f: {"data_type": k, "points": 0} for f, k in kinds.items()}
                return {**told, "payload_schema": schema}
            case ("PUT",):
                vectors = read(dict[str, models.VectorParams], body["vectors"])
                return client.create_collection(name, vectors)
            case ("DELETE",):
                return client.delete_collection(name)
            case "PUT", "index":
                self.server.indexes.setdefault(name, {})[body["field_name"]] = body["field_schema"]
                return done()
            case "PUT", "vectors", vector:
                config = read(models.VectorNameConfig, body)
                client.create_vector_name(name, vector_name=vector, vector_name_config=config)
                return done()
            case "DELETE", "vectors", vector:
                client.delete_vector_name(name, vector_name=vector)
                return done()
        raise AssertionError((verb, rest))

    def points(self, client, name, verb, rest, body):
        match verb, *rest:
            case ("PUT",):
                points = read(list[models.PointStruct], body["points"])
                only = read(models.Filter, body.get("update_filter"))
                client.upsert(name, points, update_filter=only)
                return done()
            case ("POST",):
                found = client.retrieve(
                    name,
                    body["ids"],
                    with_payload=read(models.WithPayloadInterface, body.get("with_payload")),
                    with_vectors=body.get("with_vector") or False,
                )
                return [dump(record) for record in found]
            case "POST", "delete":
                client.delete(name, selected(body))
            case "POST", "payload":
                client.set_payload(name, body["payload"], points=selected(body))
            case "POST", "payload", "delete":
                client.delete_payload(name, body["keys"], points=selected(body))
            case "POST", "vectors", "delete":
                client.delete_vectors(name, body["vector"], points=selected(body))
            case "POST", "count":
                only = read(models.Filter, body.get("filter"))
                return dump(client.count(name, only, exact=body["exact"]))
            case "POST", "scroll":
                found, after = client.scroll(
                    name,
                    scroll_filter=read(models.Filter, body.get("filter")),
                    limit=body["limit"],
                    offset=body.get("offset"),
                    with_payload=True,
                    with_vectors=body.get("with_vector") or False,
                )
                return {"points": [dump(r) for r in found], "next_page_offset": after}
            case "POST", "query", "batch":
                asked = read(list[models.QueryRequest], body["searches"])
                plain = [one.model_copy(update={"params": None}) for one in asked]
                return [dump(one) for one in client.query_batch_points(name, plain)]
            case _:
                raise AssertionError((verb, rest))
        return done()


def dump(model):
    return json.loads(model.model_dump_json())
