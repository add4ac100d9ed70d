-- Drops the asker's mail up to a seq; for a hello, see below.
-- ARGV[13…] up to, "1" for a hello: past what was ever sent nothing is dropped but renumbered
-- Answers acked, how far the seqs moved, the seq before the oldest | lost | gone
if not mine then
  return answer(seatLost())
end
local upTo, hello = tonumber(ARGV[13]), ARGV[14] == "1"
local acked, last, sent = number(side .. "acked"), number(side .. "last"), number(side .. "sent")
if hello and upTo > sent then
  local moved = upTo - acked
  set(side .. "acked", upTo)
  set(side .. "last", last + moved)
  set(side .. "sent", upTo)
  return answer("acked", moved, upTo)
end
if upTo > acked and room[side .. "last"] then
  local stop = math.min(upTo, last)
  local bytes, given = number(side .. "mailBytes"), {}
  for at = 0, stop - acked - 1, 64 do
    for _, entry in ipairs(redis.call("LRANGE", mailKey[side], at, math.min(at + 63, stop - acked - 1))) do
      local head, accounts = string.match(entry, "^(.([^\n]*)\n)")
      local size = #entry - #head
      bytes = bytes - size
      given[accounts] = (given[accounts] or 0) + entryCost + size
    end
  end
  for accounts, sum in pairs(given) do
    countMail(accounts, -sum)
  end
  redis.call("LTRIM", mailKey[side], digits(stop - acked), -1)
  acked = math.max(acked, stop)
  set(side .. "acked", acked)
  set(side .. "mailBytes", bytes)
  set(side .. "sent", math.max(sent, acked))
end
return answer("acked", 0, acked)
