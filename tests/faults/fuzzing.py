"""Random requests to the live schema: valid, slightly wrong, and nonsense; all of them from one seeded chance.

Valid enough that most get past the validation, where the mistakes of a server are; ids that earlier answers showed come
again, so that commands find what they name.
"""

import json
from collections import defaultdict
from random import Random
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLUnionType,
    get_introspection_query,
    get_named_type,
    is_leaf_type,
)
from strawberry.utils.str_converters import to_snake_case

from api.ids import NAMED_BY, Kind, WrongId, decode

HUGE_NUMBER = "\ue000 1e400"
"""Stands for a number that JSON can say and no machine can hold."""

TEXTS = (
    *("", " ", "x", "New", "Принтер горит", "مرحبا بالعالم", "\u202eevil\u202c", "👩‍👩‍👧‍👦", "e\u0301\u0327" * 40),
    *("\x00", "a\x00b", "\ud800", "\udfff\ud800", "\ufffe\uffff", "\x1b[31m", "\r\n\t", "\u2028", "\ufeff"),
    *("'; drop table event; --", "%", "_%", "\\", '"', "%s", "{0}", "${7*7}", "null", "undefined", "NaN", "-1", "../x"),
    *("y" * 300, "я" * 5_000, "z" * 40_000, "[" * 500, "(" * 200, "a & | ! :* <->", "*", "🎫" * 1_000),
)
INTEGERS = (
    0,
    1,
    2,
    3,
    5,
    10,
    50,
    100,
    101,
    500,
    -1,
    -2,
    2**31 - 1,
    2**31,
    -(2**31) - 1,
    2**53,
    2**63,
    -(2**63),
    10**30,
)
NUMBERS: tuple[object, ...] = (
    0.0,
    -0.0,
    0.1,
    -1.5,
    1e308,
    -1e308,
    5e-324,
    1e-400,
    float("nan"),
    float("inf"),
    HUGE_NUMBER,
)
TIMES = (
    *("2026-03-01T09:00:00Z", "2026-03-01T09:00:00+03:00", "2026-11-25T12:00:00.123456789Z", "0001-01-01T00:00:00Z"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "1970-01-01T00:00:00Z"),
    *("2026-02-29T00:00:00Z", "2026-03-01", "2026-03-01T09:00:00", "10000-01-01T00:00:00Z", "-0001-01-01T00:00:00Z"),
    *("2026-03-29T02:30:00+01:00", "1582-10-10T00:00:00Z", "2016-12-31T23:59:60Z", "yesterday", "2026-W10", "0", "+"),
    *("2026-03-01T09:00:00+24:00", "2026-03-01T24:00:00Z", "1900-01-01T00:00:00+02:30:17"),
)
POSITIONS = ("0", "1", "7", "50", "-1", "9223372036854775807", "9223372036854775808", "٣", "1.5", "1e3", " 1", "x", "")
KEYS = ("new", "in_progress", "done", "TASK", "INCIDENT", "task", "support", "T-1", "T-2", "T-99999999999999999999")
NAMES = {
    "role": ("TASK", "INCIDENT", "DEAL", "BUG", "DOCUMENT", "PROJECT"),
    "workflow": ("task", "support", "incident", "sales"),
    "status": ("new", "in_progress", "waiting", "review", "done", "cancelled", "todo"),
    "column": ("new", "in_progress", "done"),
    "channel": ("site", "phone", "email"),
    "color": ("#fff", "#a1b2c3"),
    "url": ("https://example.test/a", "http://example.test"),
}


def _is(id_: str, kind: Kind) -> bool:
    try:
        decode(id_, kind)
    except WrongId:
        return False
    return True


class Fuzzer:
    """`known`: what names something, by the type or the field that it was shown by; of other workspaces, too."""

    def __init__(self, schema: GraphQLSchema, chance: Random, known: defaultdict[str, list[str]] | None = None) -> None:
        self._schema = schema
        self._chance = chance
        self.known = defaultdict(list) if known is None else known
        self._mischief = 0.0
        """The share of values that are not as they should be, in this request."""
        self._variables: dict[str, tuple[GraphQLInputType, Any]] = {}

    def request(self) -> bytes:
        """The body of a request."""
        self._mischief = self._chance.choice((0.0, 0.0, 0.0, 0.0, 0.02, 0.05, 0.3))
        kind = self._chance.random()
        if kind < 0.42:
            return self._operation("mutation")
        if kind < 0.88:
            return self._operation("query")
        return self._chance.choice((self._broken, self._misused, self._deep, self._wide, self._introspection))()

    def choose(self, of: list[str]) -> str:
        return self._chance.choice(of)

    def learn(self, answer: object) -> None:
        """Remembers the ids and keys of an answer."""
        if isinstance(answer, dict):
            for name, value in answer.items():
                if name in ("id", "key", "endCursor") and isinstance(value, str):
                    self._remember(name, value)
                else:
                    self.learn(value)
        elif isinstance(answer, list):
            for one in answer[:20]:
                self.learn(one)

    def _remember(self, name: str, value: str) -> None:
        kinds = [kind.name for kind in Kind if name == "id" and _is(value, kind)]
        for pool in (self.known[one] for one in (name, *kinds)):
            pool.append(value)
            del pool[:-200]

    # ---- documents

    def _operation(self, kind: str) -> bytes:
        self._variables = {}
        root = self._schema.mutation_type if kind == "mutation" else self._schema.query_type
        assert root is not None
        names = self._chance.choices(list(root.fields), k=1 if self._chance.random() < 0.9 else 3)
        fields = [f"r{n}: {self._field(name, root.fields[name], 5)}" for n, name in enumerate(names)]
        declared = ", ".join(f"${name}: {type_}" for name, (type_, _) in self._variables.items())
        document = f"{kind} Fuzz{f'({declared})' if declared else ''} {{ {' '.join(fields)} }}"
        return self._body(document, {name: value for name, (_, value) in self._variables.items()})

    def _body(self, document: str, variables: object, **more: object) -> bytes:
        text = json.dumps({"query": document, "variables": variables, **more})
        return text.replace(json.dumps(HUGE_NUMBER), "1e400").encode()

    def _field(self, name: str, field: GraphQLField, depth: int) -> str:
        given: list[str] = []
        for argument_name, argument in field.args.items():
            required = isinstance(argument.type, GraphQLNonNull)
            if self._chance.random() > self._mischief / 10 if required else self._chance.random() < 0.3:
                given.append(f"{argument_name}: {self._argument(argument_name, argument.type)}")
        arguments = f"({', '.join(given)})" if given else ""
        return f"{name}{arguments}{self._directive()}{self._selection(field.type, depth)}"

    def _directive(self) -> str:
        if self._chance.random() > self._mischief / 10:
            return ""
        return self._chance.choice((" @include(if: true)", " @skip(if: false)", " @skip(if: 1)", " @nope", " @include"))

    def _selection(self, type_: GraphQLOutputType, depth: int) -> str:
        named = get_named_type(type_)
        if is_leaf_type(named):
            return ""
        if isinstance(named, GraphQLUnionType | GraphQLInterfaceType):
            possible = self._chance.sample(list(self._schema.get_possible_types(named)), k=1)
            parts = " ".join(f"... on {one.name}{self._of_fields(one, depth - 1)}" for one in possible)
            return f" {{ __typename {parts} }}"
        return self._of_fields(named, depth)

    def _of_fields(self, type_: GraphQLNamedType, depth: int) -> str:
        assert isinstance(type_, GraphQLObjectType | GraphQLInterfaceType)
        shallow = [name for name, field in type_.fields.items() if is_leaf_type(get_named_type(field.type))]
        names = shallow if depth <= 0 else list(type_.fields)
        chosen = self._chance.sample(names, k=min(len(names), self._chance.choice((1, 2, 4, 8))))
        fields = [self._field(name, type_.fields[name], depth - 1) for name in chosen]
        return f" {{ {' '.join(['__typename', *(name for name in ('id', 'key') if name in shallow), *fields])} }}"

    def _argument(self, name: str, type_: GraphQLInputType) -> str:
        value = self._value(name, type_, 0)
        if self._chance.random() < 0.75:
            variable = f"v{len(self._variables)}"
            self._variables[variable] = (type_, value)
            return f"${variable}"
        return self._literal(value, type_)

    def _literal(self, value: Any, type_: GraphQLInputType) -> str:
        inner = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
        if value == HUGE_NUMBER:
            return "1e400"
        if isinstance(inner, GraphQLEnumType) and isinstance(value, str) and value.isidentifier():
            return value
        if isinstance(value, dict):
            types = {name: field.type for name, field in getattr(inner, "fields", {}).items()}
            parts = (
                f"{name}: {self._literal(one, types.get(name, inner))}"
                for name, one in value.items()
                if name.isidentifier()
            )
            return f"{{{', '.join(parts)}}}"
        if isinstance(value, list):
            of = inner.of_type if isinstance(inner, GraphQLList) else inner
            return f"[{', '.join(self._literal(one, of) for one in value)}]"
        if isinstance(value, float) and (value != value or abs(value) == float("inf")):
            return "1e999"
        return json.dumps(
            value, ensure_ascii=self._chance.random() < 0.5 or (isinstance(value, str) and not value.isprintable())
        )

    # ---- values

    def _value(self, name: str, type_: GraphQLInputType, depth: int) -> Any:
        if isinstance(type_, GraphQLNonNull):
            return None if self._bad(0.1) else self._some(name, type_.of_type, depth)
        return None if self._chance.random() < 0.03 else self._some(name, type_, depth)

    def _bad(self, of: float = 1.0) -> bool:
        return self._chance.random() < of * self._mischief

    def _some(self, name: str, type_: Any, depth: int) -> Any:
        if self._bad(0.2):
            return self._chance.choice((*TEXTS[:12], 5, True, [], {}, [None], 1.5, HUGE_NUMBER))
        if isinstance(type_, GraphQLList):
            length = self._chance.choice((0, 1, 1, 2, 3, 3, 30) if depth < 3 else (0, 1))
            return [self._value(name, type_.of_type, depth + 1) for _ in range(length)]
        if isinstance(type_, GraphQLEnumType):
            return "NOPE" if self._bad(0.2) else self._chance.choice(list(type_.values))
        if isinstance(type_, GraphQLInputObjectType):
            return self._input(type_, depth)
        return self._scalar(name, type_.name)

    def _input(self, type_: GraphQLInputObjectType, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        share = 0.15 if depth < 3 else 0.05
        for name, field in type_.fields.items():
            required = isinstance(field.type, GraphQLNonNull)
            if not self._bad(0.05) if required else self._chance.random() < share:
                values[name] = self._value(name, field.type, depth + 1)
        if self._bad(0.1):
            values["nope"] = 1
        return values

    def _scalar(self, name: str, type_: str) -> Any:
        choose = self._chance.choice
        match type_:
            case "ID":
                return self._id(name)
            case "Int":
                return choose(INTEGERS if self._bad() else INTEGERS[1:8])
            case "Float":
                return choose(NUMBERS)
            case "Boolean":
                return self._chance.random() < 0.5
            case "DateTime":
                return choose(TIMES if self._bad() else TIMES[:3])
            case "Position":
                # One that is still to come is waited for, and that takes long.
                return (
                    choose(POSITIONS[:4])
                    if name == "minPosition" and self._chance.random() < 0.98
                    else choose(POSITIONS)
                )
            case "JSON":
                return self._json(0)
            case _:
                return self._text(name)

    def _id(self, name: str) -> Any:
        kind = NAMED_BY.get(to_snake_case(name))
        pool = self.known["id"] if kind is None or self._bad() else self.known[kind.name]
        if name == "commandId":
            pool = [f"command {n}" for n in range(300)]
        return self._chance.choice([*TEXTS[:30], 5, -1, *KEYS] if not pool or self._bad() else pool)

    def _text(self, name: str) -> str:
        choose = self._chance.choice
        if name in ("after", "before"):
            return choose(self.known["endCursor"] or ["AAAA"])
        if self._bad():
            letters = "".join(chr(self._chance.randrange(1, 0x3000)) for _ in range(self._chance.randrange(1, 30)))
            return choose((*TEXTS, *TIMES, *POSITIONS, letters))
        if name in NAMES:
            return choose(NAMES[name])
        if name in ("key", "eq", "in", "contains"):
            return choose([*self.known["key"][-50:], *(one for names in NAMES.values() for one in names)])
        return choose(
            (
                "Plain words",
                f"k{self._chance.randrange(1000)}",
                "Принтер горит",
                "a b",
                f"k_{self._chance.randrange(9)}",
            )
        )

    def _json(self, depth: int) -> Any:
        choices: list[Any] = [None, True, 5, self._chance.choice(NUMBERS), self._chance.choice(TEXTS), 2**70]
        if depth < 4:
            choices += [
                [self._json(depth + 1) for _ in range(self._chance.randrange(3))],
                *(
                    {self._text("key"): self._json(depth + 1) for _ in range(self._chance.randrange(4))}
                    for _ in range(3)
                ),
            ]
        return self._chance.choice(choices) if depth else choices[-1]

    # ---- nonsense

    def _broken(self) -> bytes:
        """Somebody sat on the keyboard, or on the wire."""
        body = bytearray(self._operation(self._chance.choice(("query", "mutation"))))
        for _ in range(self._chance.randrange(1, 6)):
            place = self._chance.randrange(len(body))
            body[place : place + self._chance.randrange(4)] = self._chance.randbytes(self._chance.randrange(3))
        return bytes(body)

    def _misused(self) -> bytes:
        return self._chance.choice(
            (
                b"",
                b"null",
                b"[]",
                b'{"query": null}',
                b"{" * 50_000,
                b'{"query": "{ me { scopes } }", "variables": "x"}',
                b'{"query": "{ me { scopes } }", "operationName": "nope"}',
                b'{"query": "{ me { scopes } }", "extensions": {"persistedQuery": {"version": 1, "sha256Hash": "x"}}}',
                b'{"query": "query a { me { scopes } } mutation b { openTicket(input: {title: 1}) { version } }"}',
                b'{"query": "subscription { events { id } }"}',
                b'{"query": "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }"}',
                b'{"query": "query($a: TicketFilter = {and: [{}]}) { tickets(filter: $a) { totalCount } }"}',
                b'{"query": "query($a: [[Int]]) { me { scopes } }", "variables": {"a": [[[1]]]}}',
                self._body("{ me { scopes } }", {"a": "x" * 900_000}),
                self._body('{ __type(name: "Ticket") { fields { name type { ofType { ofType { name } } } } } }', None),
            )
        )

    def _deep(self) -> bytes:
        levels = self._chance.choice((3, 14, 15, 60, 2_000))
        if self._chance.random() < 0.5:
            return self._body('{ ticket(key: "T-1") ' + "{ parent " * levels + "{ key }" + " }" * levels + " }", None)
        opened, closed = self._chance.choice((('{"and": [', "]}"), ('{"or": [{}, ', "]}"), ('{"not": ', "}")))
        filter = f'{opened * levels}{{"title": {{"contains": "x"}}}}{closed * levels}'
        query = "query($f: TicketFilter) { tickets(filter: $f) { totalCount } }"
        return f'{{"query": "{query}", "variables": {{"f": {filter}}}}}'.encode()

    def _wide(self) -> bytes:
        width = self._chance.choice((5, 30, 31, 400))
        return self._body("{ " + " ".join(f"a{n}: me {{ scopes }}" for n in range(width)) + " }", None)

    def _introspection(self) -> bytes:
        return self._body(get_introspection_query(input_value_deprecation=True), None)
