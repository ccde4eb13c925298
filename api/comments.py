"""Comments on tickets."""

from datetime import datetime
from typing import Any

import strawberry
from strawberry import ID, Parent

from api.fields import Info, Node, by
from api.ids import Kind, encode
from api.people import Person, person
from domain.tickets import Visibility
from projections.rows import CommentRow

strawberry.enum(Visibility)


def _id(comment: Parent[CommentRow]) -> ID:
    return encode(Kind.COMMENT, comment.id)


def _author(comment: Parent[CommentRow], info: Info) -> Any:
    return person(info, comment.author)


def _in_reply_to(comment: Parent[CommentRow]) -> ID | None:
    return None if comment.in_reply_to is None else encode(Kind.COMMENT, comment.in_reply_to)


@strawberry.type
class Comment(Node):
    id: ID = by(_id)
    author: Person = by(_author)
    body: str
    visibility: Visibility
    created_at: datetime
    edited_at: datetime | None = by(lambda: None, description="Null until comments can be edited.")
    withdrawn: bool = by(lambda: False, description="False until comments can be withdrawn.")
    in_reply_to: ID | None = by(_in_reply_to)

    @classmethod
    def is_type_of(cls, row: object, _: object) -> bool:
        return isinstance(row, CommentRow)
