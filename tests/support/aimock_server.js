// aimock, a server that answers as OpenAI's does: `aimock_server.js API_KEY FIXTURES`. The fixtures are JSON, as aimock has
// them. Prints its address and ends with its stdin.
'use strict';

const { LLMock } = require('@copilotkit/aimock');

const [apiKey, fixtures] = process.argv.slice(2);
const mock = new LLMock({ port: 0, auth: { apiKeys: [apiKey] } });
for (const fixture of JSON.parse(fixtures)) mock.addFixture(fixture);
mock.start().then(() => console.log(mock.url));
process.stdin.on('end', () => process.exit()).resume();
