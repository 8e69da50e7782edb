// Node's own HTTP server as the second opinion of test_differential.py. Reads lines of base64 from
// stdin, each the bytes of one connection, and writes for each a line of JSON: the requests that it
// saw complete, and how the connection ended (`error` when it refused something, `more` when it
// still waited for bytes, else `done`). No sockets: the end of the bytes is certain, so nothing has
// to be timed.
'use strict';
const http = require('http');
const readline = require('readline');
const { Duplex } = require('stream');

const server = http.createServer({ maxHeaderSize: 128 * 1024 });
server.maxHeadersCount = 0;

function take(request, response) {
  const connection = request.socket;
  const parts = [];
  const seen = { request, parts };
  connection.seen.push(seen);
  request.on('data', (part) => parts.push(part));
  request.on('end', () => response.end('ok'));
  request.on('error', () => {});
}

server.on('request', take);
server.on('checkExpectation', take);
server.on('clientError', (error, connection) => {
  // Bytes that are not enough are no refusal.
  connection.refusal = error.code === 'HPE_INVALID_EOF_STATE' ? 'more' : 'error';
  connection.reason = error.code;
  setImmediate(() => connection.destroy());
});

function report(connection) {
  const requests = [];
  let end = connection.refusal || 'done';
  for (const { request, parts } of connection.seen) {
    if (!request.complete) {
      if (end === 'done') end = 'more';
      break;
    }
    const body = Buffer.concat(parts);
    const shown = body.subarray(0, 65536).toString('latin1');
    requests.push({ method: request.method, url: request.url, length: body.length, body: shown });
  }
  return { requests, end, reason: connection.reason || null };
}

// A connection whose peer has sent `bytes` and then closed.
function judge(bytes) {
  return new Promise((resolve) => {
    const connection = new Duplex({
      read() {},
      write(chunk, encoding, done) { done(); },
    });
    connection.seen = [];
    connection.setTimeout = () => connection;
    connection.setNoDelay = () => connection;
    connection.setKeepAlive = () => connection;
    connection.on('error', () => {});
    connection.on('close', () => resolve(report(connection)));
    server.emit('connection', connection);
    connection.push(bytes);
    connection.push(null);
  });
}

async function main() {
  const lines = readline.createInterface({ input: process.stdin });
  for await (const line of lines) {
    const seen = await judge(Buffer.from(line, 'base64'));
    process.stdout.write(JSON.stringify(seen) + '\n');
  }
}

main();
