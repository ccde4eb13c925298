// Starts GraphiQL against this server alone: no script, style, font or request leaves it.
'use strict';

// ASCII only: a header with any other character cannot be sent.
const PLACEHOLDER = 'PASTE-YOUR-TOKEN-HERE';

const DEFAULT_HEADERS = JSON.stringify({ Authorization: `Bearer ${PLACEHOLDER}` }, null, 2);

const DEFAULT_QUERY = `# Welcome to Proteus.
#
# 1. Paste your token into the Headers pane below, in place of ${PLACEHOLDER}.
#    \`make demo\` prints one; \`proteus token\` makes others.
# 2. Press the play button, or Ctrl-Enter.
#
# The docs (the book at the upper left) list every query, mutation and subscription.

query Board {
  board {
    columns {
      name
      count
    }
    totalCount
  }
}
`;

const HINT = {
  errors: [{ message: `Paste your token into the Headers pane, in place of ${PLACEHOLDER}.` }],
};

function webSocketAddress() {
  const scheme = window.location.protocol === 'https:' ? 'wss:' : 'ws:';
  return `${scheme}//${window.location.host}/graphql`;
}

// A new function each time: GraphiQL asks for the schema again whenever its fetcher changes.
function createFetcher() {
  // Subscriptions carry the headers in the payload of connection_init.
  const send = GraphiQL.createFetcher({ url: '/graphql', subscriptionUrl: webSocketAddress() });
  return (request, options) => {
    const authorization = options?.headers?.Authorization ?? '';
    return authorization.includes(PLACEHOLDER) ? HINT : send(request, options);
  };
}

function Page() {
  const [fetcher, setFetcher] = React.useState(createFetcher);
  const waiting = React.useRef(undefined);

  // The schema, like everything else, is for those with a token: once one is pasted, it is asked for again.
  const askAgainForTheSchema = () => {
    window.clearTimeout(waiting.current);
    waiting.current = window.setTimeout(() => setFetcher(createFetcher), 700);
  };

  return React.createElement(GraphiQL, {
    fetcher,
    defaultQuery: DEFAULT_QUERY,
    defaultHeaders: DEFAULT_HEADERS,
    defaultEditorToolsVisibility: 'headers',
    isHeadersEditorEnabled: true,
    shouldPersistHeaders: true,
    onEditHeaders: askAgainForTheSchema,
  });
}

ReactDOM.createRoot(document.getElementById('graphiql')).render(React.createElement(Page));
