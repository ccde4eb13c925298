"""Mutations of talk: how each is done, and what refuses it."""

from tests.api.refusals.cases import Case, Mutation, agent, to_part, to_ticket
from tests.api.refusals.scene import comment, ticket, withdrawn

MUTATIONS: dict[str, Mutation] = {
    "addComment": to_ticket(
        {"ticket": ticket, "body": "Hello"},
        INVALID_VALUE={"body": " "},
        COMMENT_NOT_FOUND={"inReplyTo": "x"},
        PERSON_NOT_FOUND={"mentions": ["x"]},
    ),
    "editComment": to_part(
        lambda scene: {**comment(scene), "body": "Other"},
        INVALID_VALUE={"body": " "},
        COMMENT_NOT_FOUND={"comment": "x"},
        COMMENT_WITHDRAWN=withdrawn,
        PERSON_NOT_FOUND={"mentions": ["x"]},
        FORBIDDEN=Case({}, by=agent),
    ),
    "withdrawComment": to_part(comment, COMMENT_NOT_FOUND={"comment": "x"}, FORBIDDEN=Case({}, by=agent)),
}
