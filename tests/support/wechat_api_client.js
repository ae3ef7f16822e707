// Calls WeChat's API by node's wechat-api, as a peer of the stand-in: `wechat_api_client.js BASE_URL APPID SECRET`.
//
// A line of stdin is a call, `["createMenu", [ARGUMENT, …]]`, and a line of stdout what came of it: `{"gives": …}` or
// `{"errcode": …, "errmsg": …}`; an answer that is no JSON is given as its bytes. `forget` drops the access_token that
// it keeps: after a 40001 wechat-api tries the same once more and leaves getting another to the caller.
'use strict';

const readline = require('readline');
const API = require('wechat-api');

const [baseUrl, appId, secret] = process.argv.slice(2);
const api = new API(appId, secret);
api.endpoint = baseUrl;
api.setOpts({ timeout: 20000 });
api.forget = (callback) => {
  api.store = null;
  callback(null, null);
};

function answer(error, data, response) {
  if (error) return { errcode: error.code, errmsg: error.message };
  if (!Buffer.isBuffer(data)) return { gives: data };
  return { gives: { type: response.headers['content-type'], hex: data.toString('hex') } };
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const [name, given] = JSON.parse(line);
  api[name](...given, (...result) => console.log(JSON.stringify(answer(...result))));
});
