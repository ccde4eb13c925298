"""What one request may ask for; beyond it COMPLEXITY_LIMIT. Stable, and told in the front-end developer's guide.

Cost counts what a query may return before it is executed: every object counts 1, a connection 10 more, since it is a
query of its own; `nodes` and `edges` count as often as the page is long (`first` or `last`, 50 where absent), a list
without pages 10 times, the answers of a bulk command 200 times. So a board of 500 cards with eight objects on each
costs about 5,000.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple
from weakref import WeakSet

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    Visitor,
    is_leaf_type,
    parse,
    visit,
)
from strawberry.extensions import SchemaExtension
from strawberry.types import ExecutionContext
from strawberry.types.graphql import OperationType

from api import requests
from api.errors import COMPLEXITY_LIMIT
from application.bulk import TICKETS_LIMIT
from projections.reading import PAGE_DEFAULT

BODY_LIMIT = 1_000_000
"""Bytes of one request."""
BODY_SECONDS = 10.0
"""In which they must have arrived."""
TOKEN_LIMIT = 2_000
DEPTH_LIMIT = 15
ALIAS_LIMIT = 30
COST_LIMIT = 20_000
CONNECTION_COST = 10
LIST_LENGTH = 10
LENGTHS = {("BulkPayload", "answers"): TICKETS_LIMIT}
"""Of lists that are longer."""
CACHED_QUERIES = 500
CACHED_LENGTH = 8_000
"""Characters of a query that is kept parsed."""
QUERY_SECONDS = 30.0
"""How long a request may take."""


class Limits(SchemaExtension):
    """Runs before validation, whose rules compare every field with every other."""

    def on_operation(self) -> Iterator[None]:
        self.execution_context.parse_options["max_tokens"] = TOKEN_LIMIT
        yield

    def on_parse(self) -> Iterator[None]:
        query = self.execution_context.query
        if query is not None and len(query) <= CACHED_LENGTH:
            with suppress(GraphQLError):  # the stock way parses it again, and tells the error
                self.execution_context.graphql_document = _parsed(query)
        yield
        for error in self.execution_context.pre_execution_errors or ():
            if "tokens" in error.message and "more than" in error.message:
                error.extensions = {"code": COMPLEXITY_LIMIT}

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        assert context.graphql_document is not None
        operations = [one for one in context.graphql_document.definitions if isinstance(one, OperationDefinitionNode)]
        if len(operations) > 1 and context._provided_operation_name is None:  # pyright: ignore[reportPrivateUsage]
            context.pre_execution_errors = [GraphQLError("Say by operationName which operation is meant.")]
            yield
            return
        self._note(operations)
        schema: GraphQLSchema = context.schema._schema  # pyright: ignore[reportPrivateUsage]
        try:
            _must_be_served_so(context)
            check(schema, context.graphql_document, context.variables or {})
        except GraphQLError as error:
            context.pre_execution_errors = [error]
            yield
            return
        if context.graphql_document in _VALID:
            context.pre_execution_errors = []  # what says that there is nothing to validate
        yield
        if not context.pre_execution_errors:
            _VALID.add(context.graphql_document)

    def _note(self, operations: Sequence[OperationDefinitionNode]) -> None:
        wanted = self.execution_context._provided_operation_name  # pyright: ignore[reportPrivateUsage]
        for one in operations:
            name = one.name.value if one.name else None
            if wanted in (None, name):
                requests.note_operation(one.operation.value, name)
                return


def _must_be_served_so(context: ExecutionContext) -> None:
    """Raises GraphQLError for a subscription where a single answer is awaited."""
    if context.operation_type is OperationType.SUBSCRIPTION and OperationType.QUERY in context.allowed_operations:
        raise GraphQLError("Subscribe over a WebSocket (graphql-transport-ws), or with Accept: text/event-stream.")


@lru_cache(maxsize=CACHED_QUERIES)
def _parsed(query: str) -> DocumentNode:
    return parse(query, max_tokens=TOKEN_LIMIT)


def forget() -> None:
    """Somebody was erased, whom what clients wrote into a document may name."""
    _parsed.cache_clear()


_VALID: WeakSet[DocumentNode] = WeakSet()
"""Documents that passed validation, which clients send again and again; they last as long as they stay parsed."""


def check(schema: GraphQLSchema, document: DocumentNode, variables: dict[str, Any]) -> None:
    """Raises GraphQLError. The document may be invalid still."""
    if document not in _VALID:  # which passed
        aliases = _Aliases()
        visit(document, aliases)
        _limit("aliases", aliases.count, ALIAS_LIMIT)
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            root = schema.get_root_type(definition.operation)
            if root is not None:
                weight = _Scales(schema, document, definition, variables).weigh(definition.selection_set, root, 0, 1)
                _limit("cost", weight.cost, COST_LIMIT)


def _limit(what: str, found: int, limit: int) -> None:
    if found > limit:
        raise GraphQLError(
            f"This request is too big: its {what} is {found}, the limit is {limit}. Ask for less at a time.",
            extensions={"code": COMPLEXITY_LIMIT, "limit": what, "maximum": limit, "found": found},
        )


class _Aliases(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def enter_field(self, node: FieldNode, *_: object) -> None:
        self.count += node.alias is not None


class Weight(NamedTuple):
    cost: int = 0
    height: int = 0

    def beside(self, other: "Weight") -> "Weight":
        return Weight(self.cost + other.cost, max(self.height, other.height))


class _Scales:
    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: dict[str, Any],
    ) -> None:
        self._schema = schema
        self._fragments = {
            one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)
        }
        self._weighed: dict[tuple[str, int], Weight] = {}
        self._variables = dict(variables)
        for declared in operation.variable_definitions or ():
            name, default = declared.variable.name.value, declared.default_value
            if self._variables.get(name) is None and isinstance(default, IntValueNode):
                self._variables[name] = default.value

    def weigh(self, selected: SelectionSetNode, of: GraphQLNamedType, depth: int, page: int) -> Weight:
        """`page`: how long `nodes` and `edges` are here."""
        weight = Weight()
        for node in selected.selections:
            if isinstance(node, FieldNode):
                weight = weight.beside(self._field(node, of, depth, page))
            elif isinstance(node, InlineFragmentNode):
                on = self._type(node.type_condition.name.value if node.type_condition else None, of)
                weight = weight.beside(self.weigh(node.selection_set, on, depth, page))
            elif isinstance(node, FragmentSpreadNode):
                weight = weight.beside(self._spread(node.name.value, of, depth, page))
        return weight

    def _field(self, node: FieldNode, of: GraphQLNamedType, depth: int, page: int) -> Weight:
        # Introspection is bounded by graphql-core's own rule.
        name = node.name.value
        field: Any = None if name.startswith("__") else getattr(of, "fields", {}).get(name)
        if field is None:
            return Weight()
        _limit("depth", depth + 1, DEPTH_LIMIT)
        shape = str(field.type)
        inner_type = self._type(shape.strip("[]!"), of)
        if is_leaf_type(inner_type) or node.selection_set is None:
            return Weight(0, 1)
        connection = inner_type.name.endswith("Connection")
        size = self._page(node) if connection else 1
        inner = self.weigh(node.selection_set, inner_type, depth + 1, size)
        times = 1
        if shape.startswith("["):
            times = page if name in ("nodes", "edges") else LENGTHS.get((of.name, name), LIST_LENGTH)
        own = 1 + CONNECTION_COST if connection else 1
        return Weight(times * (own + inner.cost), 1 + inner.height)

    def _spread(self, name: str, of: GraphQLNamedType, depth: int, page: int) -> Weight:
        """Weighed once, however often it is spread; a cycle is left to the validation."""
        fragment = self._fragments.get(name)
        if fragment is None:
            return Weight()
        if (name, page) not in self._weighed:
            self._weighed[name, page] = Weight()
            on = self._type(fragment.type_condition.name.value, of)
            self._weighed[name, page] = self.weigh(fragment.selection_set, on, depth, page)
        weight = self._weighed[name, page]
        _limit("depth", depth + weight.height, DEPTH_LIMIT)
        return weight

    def _type(self, name: str | None, otherwise: GraphQLNamedType) -> GraphQLNamedType:
        return (self._schema.get_type(name) if name else None) or otherwise

    def _page(self, node: FieldNode) -> int:
        for argument in node.arguments or ():
            if argument.name.value in ("first", "last"):
                value: Any = argument.value
                value = self._variables.get(value.name.value) if isinstance(value, VariableNode) else value
                value = value.value if isinstance(value, IntValueNode) else value
                try:
                    return max(1, int(value))
                except (TypeError, ValueError):
                    return PAGE_DEFAULT
        return PAGE_DEFAULT
