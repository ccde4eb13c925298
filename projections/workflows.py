"""Where the tickets of a workspace stand: what a change of its roles and workflows must know."""

from domain.workflows import CLOSED, Standing
from projections.reading import View


async def census(view: View) -> tuple[list[Standing], int]:
    """How many tickets of each role stand in each status, and the position up to which they are counted."""
    rows = await view.fetch(
        """
        select t.position, s.role, s.workflow, s.status, s.category = any(%(closed)s), count(s.ticket)
          from tracking t
          left join span s on s.workspace = %(workspace)s and s.closed_position is null
         where t.name = 'spans' group by 1, 2, 3, 4, 5
        """,
        {"closed": [category.value for category in CLOSED]},
    )
    standing = [
        Standing(role=role, workflow=workflow, status=status, closed=closed, tickets=tickets)
        for _, role, workflow, status, closed, tickets in rows
        if role is not None
    ]
    return standing, rows[0][0]
