-- wrk: one signed text message, again and again. The query and the file with the body come from the environment.
local file = assert(io.open(os.getenv("BODY")))
local request_bytes = nil
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "text/xml"
local path = "/weixin?" .. os.getenv("QUERY")

function request()
  request_bytes = request_bytes or wrk.format(nil, path)
  return request_bytes
end
