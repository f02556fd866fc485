"""Answers for the tests what Telegram's own library and a second client say, at the Unix socket that is
its argument: a JSON line in, a JSON line out. Ends when nobody has asked for a while.

    {"html": TEXT}                     how TDLib parses the text: {"text", "entities"} or {"error"}
    {"update": UPDATE}                  whether aiogram takes the update: {} or {"error"}
    {"result": [TYPE, VALUE]}           whether aiogram takes the value as that type: {} or {"error"}
"""

import json
import os
import socketserver
import sys
import threading
import time

import aiogram.types
import tdjson

NAMES = {
    "Bold": "bold",
    "Italic": "italic",
    "Underline": "underline",
    "Strikethrough": "strikethrough",
    "Code": "code",
    "Pre": "pre",
    "PreCode": "pre",
    "BlockQuote": "blockquote",
    "TextUrl": "text_link",
}


def tdlib(**query):
    query["@type"] = query.pop("function")
    return json.loads(tdjson.td_execute(json.dumps(query).encode()))


def entity(one):
    kind = one["type"]["@type"].removeprefix("textEntityType")
    made = {"type": NAMES[kind], "offset": one["offset"], "length": one["length"]}
    for name in ("url", "language"):
        if name in one["type"]:
            made[name] = one["type"][name]
    return made


def parse_html(text):
    answer = tdlib(function="parseTextEntities", text=text, parse_mode={"@type": "textParseModeHTML"})
    if answer["@type"] == "error":
        return {"error": answer["message"]}
    return {"text": answer["text"], "entities": [entity(one) for one in answer["entities"]]}


def validated(kind, value):
    try:
        getattr(aiogram.types, kind).model_validate(value)
        return {}
    except ValueError as error:
        return {"error": str(error)}


def answer(question):
    match question:
        case {"html": text}:
            return parse_html(text)
        case {"update": update}:
            return validated("Update", update)
        case {"result": [kind, value]}:
            return validated(kind, value)
    raise SystemExit(f"no such question: {question}")


class Asker(socketserver.StreamRequestHandler):
    open = 0
    last = time.monotonic()

    def handle(self):
        Asker.open += 1
        for line in self.rfile:
            self.wfile.write(json.dumps(answer(json.loads(line))).encode() + b"\n")
        Asker.open -= 1
        Asker.last = time.monotonic()


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


tdlib(function="setLogVerbosityLevel", new_verbosity_level=0)
# Bound beside its name and moved there, so that whoever finds it can connect.
server = Server(sys.argv[1] + ".new", Asker)
os.rename(sys.argv[1] + ".new", sys.argv[1])
threading.Thread(target=server.serve_forever, daemon=True).start()
while Asker.open > 0 or time.monotonic() - Asker.last < 120:
    time.sleep(1)
os.unlink(sys.argv[1])
