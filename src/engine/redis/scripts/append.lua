-- Stores mail from the asker's side.
-- ARGV[13…] to, payload, id or "", "1" for a strict sender, most mails and bytes of a mailbox, ids
--   remembered
-- Answers stored seq | full | share_full | lost | gone
local to, payload, id, strict = ARGV[13], ARGV[14], ARGV[15], ARGV[16] == "1"
local maxMails, maxBytes, maxIds = tonumber(ARGV[17]), tonumber(ARGV[18]), tonumber(ARGV[19])
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
local cost, idCost = entryCost + #payload, id ~= "" and entryCost + #id or 0
local full = size >= maxMails or bytes + #payload > maxBytes
local bound = full and "full" or boundAgainst(cost + idCost)
if bound then
  if strict then
    set(to .. "refusing", "1")
  end
  if not room[to .. "last"] then
    set(to .. "last", 0)
  end
  return answer(bound)
end
local seq = number(to .. "last") + 1
local accounts = room[side .. "accounts"] or ""
redis.call("RPUSH", mailKey[to], side .. accounts .. "\n" .. payload)
countMail(accounts, cost)
set(to .. "last", seq)
set(to .. "mailBytes", bytes + #payload)
if id ~= "" then
  redis.call("HSET", idsKey[side], id, digits(seq))
  local idBytes = number(side .. "idBytes") + idCost
  if redis.call("RPUSH", idOrderKey[side], id) > maxIds then
    local oldest = redis.call("LPOP", idOrderKey[side])
    redis.call("HDEL", idsKey[side], oldest)
    idBytes = idBytes - entryCost - #oldest
  end
  set(side .. "idBytes", idBytes)
  keep(idsKey[side], roomTtl + relayHold + leaseMs)
  keep(idOrderKey[side], roomTtl + relayHold + leaseMs)
end
keep(mailKey[to], roomTtl + relayHold + leaseMs)
tell(to, "mail")
return answer("stored", seq)
