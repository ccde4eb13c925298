// A day of a front end: opens a ticket, moves it, comments on it, and hears of all of it live, over WebSockets and as
// server-sent events, while its connections break. Run by tests/end_to_end/test_javascript_client.py:
// node client.js ADDRESS TOKEN
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { GraphQLClient, gql } from 'graphql-request';
import { createClient as createEventStreams } from 'graphql-sse';
import { createClient as createSockets } from 'graphql-ws';
import WebSocket from 'ws';

const [address, token] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${token}` };
const api = new GraphQLClient(`${address}/graphql`, { headers });

const EVENTS = 'subscription ($after: Position) { events(afterPosition: $after) { position type ticket { key } } }';
const TICKET = `subscription ($ticket: ID!, $after: Position) {
  ticketChanged(ticket: $ticket, afterPosition: $after) { position type }
}`;
const TIMER = 'subscription ($after: Position) { timerChanged(afterPosition: $after) { ticket { key } comment } }';
const BOARD = `subscription ($filter: TicketFilter, $after: Position) {
  boardChanged(workflow: "task", filter: $filter, afterPosition: $after) { position changed { key status { key } } gone }
}`;

const open = sockets();

function sockets() {
  const opened = [];
  class Breakable extends WebSocket {
    constructor(...given) {
      super(...given);
      opened.push(this);
    }
  }
  return {
    opened,
    client: createSockets({
      url: `${address.replace('http', 'ws')}/graphql`,
      webSocketImpl: Breakable,
      connectionParams: headers,
      retryAttempts: 0,
    }),
  };
}

async function command(name, input, show = 'ticket { id key version status { key } }') {
  const type = `${name[0].toUpperCase()}${name.slice(1)}Input`;
  const document = gql`mutation ($input: ${type}!) { ${name}(input: $input) { ${show} position userErrors { code message } } }`;
  const { [name]: payload } = await api.request(document, { input });
  assert.deepEqual(payload.userErrors, []);
  return payload;
}

// What is told after a position, whatever happens to the connection meanwhile.
async function* following(subscribe, position) {
  for (;;) {
    try {
      for await (const { data, errors } of subscribe(position)) {
        if (!data) throw new Error(JSON.stringify(errors));
        const [told] = Object.values(data);
        position = told.position;
        yield told;
      }
    } catch (error) {
      if (error?.code === 4401) throw error;
    }
    await sleep(50);
  }
}

const overSockets = (query, variables = {}) => (after) =>
  open.client.iterate({ query, variables: { ...variables, after } });

const asEventStream = (query, variables = {}) => (after) =>
  createEventStreams({ url: `${address}/graphql`, headers, retryAttempts: 0 }).iterate({
    query,
    variables: { ...variables, after },
  });

async function take(stream, count) {
  const taken = [];
  while (taken.length < count) taken.push((await stream.next()).value);
  return taken;
}

// ---- opens, moves, comments

const { status } = await api.request('{ status { head } }');
const start = status.head;
const { ticket } = await command('openTicket', { title: 'Монитор мигает', role: 'TASK', tags: ['js'] });
const { me } = await api.request('{ me { person { id } } }');
await command('assignTicket', { ticket: ticket.id, assignee: me.person.id });
const moved = await command('transitionTicket', { ticket: ticket.id, status: 'in_progress' });
assert.equal(moved.ticket.status.key, 'in_progress');
const commented = await command('addComment', { ticket: ticket.id, body: 'Заменили кабель' });

const refused = await api.request(
  gql`mutation ($id: ID!) { transitionTicket(input: { ticket: $id, status: "nowhere" }) { userErrors { code } } }`,
  { id: ticket.id },
);
assert.deepEqual(refused.transitionTicket.userErrors, [{ code: 'STATUS_NOT_FOUND' }]);
await assert.rejects(new GraphQLClient(`${address}/graphql`).request('{ me { scopes } }'), /UNAUTHENTICATED/);

// ---- subscribes, to the past and on

const types = ['TicketOpened', 'TicketAssigned', 'StatusChanged', 'CommentAdded'];
const log = following(overSockets(EVENTS), start);
const told = await take(log, types.length);
assert.deepEqual(told.map((event) => event.type), types);
assert.equal(told.at(-1).position, commented.position);

const streamed = following(asEventStream(EVENTS), start);
assert.deepEqual(await take(streamed, types.length), told);

const tagged = { filter: { tag: { eq: 'js' } } };
const board = following(overSockets(BOARD, tagged), start);
const boardStreamed = following(asEventStream(BOARD, tagged), start);
for (const [change] of await Promise.all([take(board, 1), take(boardStreamed, 1)])) {
  assert.deepEqual(change.changed, [{ key: ticket.key, status: { key: 'in_progress' } }]);
}

const one = following(overSockets(TICKET, { ticket: ticket.id }), start);
const oneStreamed = following(asEventStream(TICKET, { ticket: ticket.id }), start);
for (const events of await Promise.all([take(one, types.length), take(oneStreamed, types.length)])) {
  assert.deepEqual(events.map((event) => event.type), types);
}

// A timer has no position: after a break its screen is asked for anew.
const timers = [overSockets(TIMER), asEventStream(TIMER)].map((subscribe) => subscribe(commented.position));
await command('startTimer', { ticket: ticket.id, comment: 'Звоню' }, 'timer { comment }');
await command('stopTimer', {}, 'timer { comment }');
for (const timer of timers) {
  const [started, stopped] = await take(timer, 2);
  assert.deepEqual(started.data.timerChanged, { ticket: { key: ticket.key }, comment: 'Звоню' });
  assert.equal(stopped.data.timerChanged, null);
  await timer.return();
}

// ---- reconnects: the sockets are torn while events go on

const said = [];
const talking = (async () => {
  for (let n = 0; n < 40; n += 1) {
    said.push((await command('addComment', { ticket: ticket.id, body: `№ ${n}` }, '')).position);
    if (n % 10 === 5) for (const socket of open.opened.splice(0)) socket.terminate();
  }
})();
const comments = async (events) => {
  const positions = [];
  while (positions.length < 40) {
    const { type, position } = (await events.next()).value;
    if (type === 'CommentAdded') positions.push(position);
  }
  return positions;
};
const heard = await Promise.all([...[log, streamed, one, oneStreamed].map(comments), talking]);
for (const positions of heard.slice(0, 4)) assert.deepEqual(positions, said);

await command('changeRole', { ticket: ticket.id, role: 'INCIDENT' });
for (const changes of [board, boardStreamed]) {
  let before = 0;
  for await (const { position, gone } of changes) {
    assert.ok(Number(position) > before);
    before = Number(position);
    if (gone.includes(ticket.id)) break;
  }
}

// ---- without a good token there is nothing

const stranger = createSockets({
  url: `${address.replace('http', 'ws')}/graphql`,
  webSocketImpl: WebSocket,
  connectionParams: { Authorization: 'Bearer proteus_stolen' },
  retryAttempts: 3,
});
await assert.rejects(stranger.iterate({ query: EVENTS }).next(), (error) => error.code === 4401);

console.log(`${told.length + said.length} events, none missed, none doubled`);
process.exit(0);
