-- The asker's mail after a seq, oldest first; what is answered counts as sent.
-- ARGV[13…] after, most bytes
-- Answers mails, the seq before the first, then each as its sender's letter, whom it counts to, a line
--   feed and the payload | lost | gone
if not mine then
  return answer(seatLost())
end
local acked = number(side .. "acked")
local after = math.max(tonumber(ARGV[13]), acked)
local batch, bytes, at = {}, 0, after - acked
while true do
  local entries = redis.call("LRANGE", mailKey[side], digits(at), digits(at + 31))
  local full = false
  for _, entry in ipairs(entries) do
    bytes = bytes + #entry - string.find(entry, "\n", 1, true)
    if (bytes > tonumber(ARGV[14]) and #batch > 0) or #batch >= 1000 then
      full = true
      break
    end
    batch[#batch + 1] = entry
  end
  if full or #entries < 32 then
    break
  end
  at = at + 32
end
if after + #batch > number(side .. "sent") and #batch > 0 then
  note(side .. "sent", after + #batch)
end
return answer("mails", after, unpack(batch))
