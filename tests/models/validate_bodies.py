"""Reads lines of [kind, body] and prints those that the provider's own Python types refuse.

The types are turned into JSON Schemas in which no unknown field may stand: pydantic alone looks at the
messages, which are declared as iterables, too late. Of Ollama's, two words are in the types of its server alone
(ChatRequest in its api/types.go).
"""
import json
import sys
import warnings

warnings.simplefilter("ignore")

import jsonschema
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from ollama._types import ChatRequest
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema


class Tolerant(GenerateJsonSchema):
    def handle_invalid_for_json_schema(self, schema, error_info):
        return {}


def closed(node):
    if isinstance(node, list):
        return [closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    literal = ("enum", "const", "default")
    made = {name: value if name in literal else closed(value) for name, value in node.items()}
    if made.get("type") == "object" and "properties" in made:
        made.setdefault("additionalProperties", False)
    return made


def validator(kind):
    schema = TypeAdapter(kind).json_schema(schema_generator=Tolerant)
    return jsonschema.Draft202012Validator(closed(schema))


kinds = {
    "anthropic": validator(MessageCreateParamsStreaming),
    "openai": validator(CompletionCreateParamsStreaming),
    "ollama": validator(ChatRequest),
}
server_alone = {"ollama": ["truncate", "shift"]}
count = 0
for line in sys.stdin:
    kind, body = json.loads(line)
    count += 1
    for name in server_alone.get(kind, []):
        if not isinstance(body.pop(name, True), bool):
            print(kind, "at", name, "no boolean")
    error = jsonschema.exceptions.best_match(kinds[kind].iter_errors(body))
    if error is not None:
        print(kind, "at", "/".join(map(str, error.absolute_path)), error.message[:300], json.dumps(body)[:500])
print("looked at", count)
