-- Stores mail from the asker's side.
-- ARGV[11…] to, payload, id or "", "1" for a strict sender, most mails and bytes of a mailbox, most
--   bytes over everything held, ids remembered
-- Answers stored seq | full | lost | gone
local to, payload, id, strict = ARGV[11], ARGV[12], ARGV[13], ARGV[14] == "1"
local maxMails, maxBytes, maxTotal = tonumber(ARGV[15]), tonumber(ARGV[16]), tonumber(ARGV[17])
if not mine then
  return answer(seatLost())
end
if id ~= "" then
  local known = redis.call("HGET", idsKey[side], id)
  if known then
    return answer("stored", tonumber(known))
  end
end
local size, bytes = mails(to), number(to .. "mailBytes")
local refusing = room[to .. "refusing"]
if refusing and size <= maxMails / 2 and bytes <= maxBytes / 2 then
  set(to .. "refusing", nil)
  refusing = nil
end
if refusing and strict then
  return answer("full")
end
local sums = redis.call("HMGET", useKey, "*4", "*6")
local total = tonumber(sums[1] or 0) + tonumber(sums[2] or 0)
if size >= maxMails or bytes + #payload > maxBytes or total + #payload > maxTotal then
  if strict then
    set(to .. "refusing", "1")
  end
  if not room[to .. "last"] then
    set(to .. "last", 0)
  end
  return answer("full")
end
local seq = number(to .. "last") + 1
redis.call("RPUSH", mailKey[to], side .. payload)
set(to .. "last", seq)
set(to .. "mailBytes", bytes + #payload)
if id ~= "" then
  redis.call("HSET", idsKey[side], id, digits(seq))
  if redis.call("RPUSH", idOrderKey[side], id) > tonumber(ARGV[18]) then
    redis.call("HDEL", idsKey[side], redis.call("LPOP", idOrderKey[side]))
  end
  keep(idsKey[side], roomTtl + relayHold + leaseMs)
  keep(idOrderKey[side], roomTtl + relayHold + leaseMs)
end
keep(mailKey[to], roomTtl + relayHold + leaseMs)
tell(to, "mail")
return answer("stored", seq)
