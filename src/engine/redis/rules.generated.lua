
local ____modules = {}
local ____moduleCache = {}
local ____originalRequire = require
local function require(file, ...)
    if ____moduleCache[file] then
        return ____moduleCache[file].value
    end
    if ____modules[file] then
        local module = ____modules[file]
        local value = nil
        if (select("#", ...) > 0) then value = module(...) else value = module(file) end
        ____moduleCache[file] = { value = value }
        return value
    else
        if ____originalRequire then
            return ____originalRequire(file)
        else
            error("module '" .. file .. "' not found")
        end
    end
end
____modules = {
["lualib_bundle"] = function(...) 
local function __TS__ObjectKeys(obj)
    local result = {}
    local len = 0
    for key in pairs(obj) do
        len = len + 1
        result[len] = key
    end
    return result
end

local function __TS__ArrayFind(self, predicate, thisArg)
    for i = 1, #self do
        local elem = self[i]
        if predicate(thisArg, elem, i - 1, self) then
            return elem
        end
    end
    return nil
end

local function __TS__ArrayPush(self, ...)
    local items = {...}
    local len = #self
    for i = 1, #items do
        len = len + 1
        self[len] = items[i]
    end
    return len
end

local function __TS__ArrayFindIndex(self, callbackFn, thisArg)
    for i = 1, #self do
        if callbackFn(thisArg, self[i], i - 1, self) then
            return i - 1
        end
    end
    return -1
end

local function __TS__ArrayMap(self, callbackfn, thisArg)
    local result = {}
    for i = 1, #self do
        result[i] = callbackfn(thisArg, self[i], i - 1, self)
    end
    return result
end

local function __TS__ArrayFilter(self, callbackfn, thisArg)
    local result = {}
    local len = 0
    for i = 1, #self do
        if callbackfn(thisArg, self[i], i - 1, self) then
            len = len + 1
            result[len] = self[i]
        end
    end
    return result
end

local function __TS__ObjectAssign(target, ...)
    local sources = {...}
    for i = 1, #sources do
        local source = sources[i]
        if type(source) == "table" then
            for key in pairs(source) do
                target[key] = source[key]
            end
        end
    end
    return target
end

local function __TS__Class(self)
    local c = {prototype = {}}
    c.prototype.__index = c.prototype
    c.prototype.constructor = c
    return c
end

local function __TS__New(target, ...)
    local instance = setmetatable({}, target.prototype)
    instance:____constructor(...)
    return instance
end

local function __TS__ArrayIncludes(self, searchElement, fromIndex)
    if fromIndex == nil then
        fromIndex = 0
    end
    local len = #self
    local k = fromIndex
    if fromIndex < 0 then
        k = len + fromIndex
    end
    if k < 0 then
        k = 0
    end
    for i = k + 1, len do
        if self[i] == searchElement then
            return true
        end
    end
    return false
end

local function __TS__ArraySome(self, callbackfn, thisArg)
    for i = 1, #self do
        if callbackfn(thisArg, self[i], i - 1, self) then
            return true
        end
    end
    return false
end

local function __TS__ArrayIndexOf(self, searchElement, fromIndex)
    if fromIndex == nil then
        fromIndex = 0
    end
    local len = #self
    if len == 0 then
        return -1
    end
    if fromIndex >= len then
        return -1
    end
    if fromIndex < 0 then
        fromIndex = len + fromIndex
        if fromIndex < 0 then
            fromIndex = 0
        end
    end
    for i = fromIndex + 1, len do
        if self[i] == searchElement then
            return i - 1
        end
    end
    return -1
end

local function __TS__CountVarargs(...)
    return select("#", ...)
end

local function __TS__SparseArrayNew(...)
    local sparseArray = {...}
    sparseArray.sparseLength = __TS__CountVarargs(...)
    return sparseArray
end

local function __TS__SparseArrayPush(sparseArray, ...)
    local args = {...}
    local argsLen = __TS__CountVarargs(...)
    local listLen = sparseArray.sparseLength
    for i = 1, argsLen do
        sparseArray[listLen + i] = args[i]
    end
    sparseArray.sparseLength = listLen + argsLen
end

local function __TS__SparseArraySpread(sparseArray)
    local _unpack = unpack or table.unpack
    return _unpack(sparseArray, 1, sparseArray.sparseLength)
end

local function __TS__ArraySlice(self, first, last)
    local len = #self
    first = first or 0
    if first < 0 then
        first = len + first
        if first < 0 then
            first = 0
        end
    else
        if first > len then
            first = len
        end
    end
    last = last or len
    if last < 0 then
        last = len + last
        if last < 0 then
            last = 0
        end
    else
        if last > len then
            last = len
        end
    end
    local out = {}
    first = first + 1
    last = last + 1
    local n = 1
    while first < last do
        out[n] = self[first]
        first = first + 1
        n = n + 1
    end
    return out
end

return {
  __TS__ObjectKeys = __TS__ObjectKeys,
  __TS__ArrayFind = __TS__ArrayFind,
  __TS__ArrayPush = __TS__ArrayPush,
  __TS__ArrayFindIndex = __TS__ArrayFindIndex,
  __TS__ArrayMap = __TS__ArrayMap,
  __TS__ArrayFilter = __TS__ArrayFilter,
  __TS__ObjectAssign = __TS__ObjectAssign,
  __TS__Class = __TS__Class,
  __TS__New = __TS__New,
  __TS__ArrayIncludes = __TS__ArrayIncludes,
  __TS__ArraySome = __TS__ArraySome,
  __TS__ArrayIndexOf = __TS__ArrayIndexOf,
  __TS__SparseArrayNew = __TS__SparseArrayNew,
  __TS__SparseArrayPush = __TS__SparseArrayPush,
  __TS__SparseArraySpread = __TS__SparseArraySpread,
  __TS__ArraySlice = __TS__ArraySlice
}
 end,
["src.base.account"] = function(...) 
local ____lualib = require("lualib_bundle")
local __TS__ObjectKeys = ____lualib.__TS__ObjectKeys
local ____exports = {}
--- `clients`: an account of this kind has the limit of that many clients. `part`: it may hold 1 / part
-- of what all share. Four customers at their limits fill a site, so one leaves three quarters to its
-- neighbours. In a mobile network, where each phone has a /64, some hundred phones share a customer.
local kinds = {client = {clients = 1, part = 8}, customer = {clients = 4, part = 4}, site = {clients = 16, part = 2}, shared = {clients = 16, part = 2}}
____exports.accountKinds = __TS__ObjectKeys(kinds)
--- The account's limit, if one client has `perClient`. 0 is no limit and stays 0.
function ____exports.limitOf(____bindingPattern0, perClient)
    local kind
    kind = ____bindingPattern0.kind
    return perClient * kinds[kind].clients
end
--- An account of this kind may hold 1 / this of what all share.
function ____exports.partOf(kind)
    return kinds[kind].part
end
--- The most that an account may hold of a budget that all share, at least 1.
function ____exports.shareOf(____bindingPattern0, budget)
    local kind
    kind = ____bindingPattern0.kind
    return math.max(
        1,
        math.floor(budget / kinds[kind].part)
    )
end
return ____exports
 end,
["src.engine.rules.turn"] = function(...) 
local ____exports = {}
--- No accounts. Shared, since each empty list takes 64 bytes.
____exports.nobody = {}
____exports.sides = {"A", "B"}
function ____exports.otherSide(side)
    return side == "A" and "B" or "A"
end
--- The place of a seat; undefined if the seat is no longer its occupant.
function ____exports.placeOf(____bindingPattern0, ____bindingPattern1)
    local node
    local room
    room = ____bindingPattern0.room
    node = ____bindingPattern0.node
    local token
    local side
    side = ____bindingPattern1.side
    token = ____bindingPattern1.token
    local place = room and room[side]
    local ____opt_2 = place and place.seat
    return (____opt_2 and ____opt_2.token) == token and place.seat.node == node and place or nil
end
--- Totals over all rooms. Each change adds its difference.
____exports.sums = {
    "rooms",
    "peers",
    "mailboxes",
    "mails",
    "mailBytes",
    "heldFrames",
    "heldBytes",
    "idBytes"
}
--- What a mail, a held frame or a remembered id counts in addition to its own bytes. Measured, in bytes:
-- - in memory: 155 for a mail, 200 for a held frame, 460 for a side's first id, 200 for each further id;
--   260 more if each comes from another client;
-- - in Redis: 900 for the only entry of a room, 20 to 200 for each of several.
-- So the counted bytes are at least half of the bytes used.
____exports.entryCostBytes = 512
--- How many ids of mail are remembered for each side.
____exports.rememberedIds = 256
--- How long a takeover by sid at first prevents the next one.
____exports.takeoverGuardMs = 10000
--- The longest such guard, after it was contested repeatedly.
____exports.takeoverGuardMaxMs = 600000
--- The highest seq that is accepted from a client. Sums with it stay exact.
____exports.maxSeq = 2 ^ 53 - 2 ^ 32
return ____exports
 end,
["src.engine.rules.codes"] = function(...) 
local ____lualib = require("lualib_bundle")
local __TS__ArrayFind = ____lualib.__TS__ArrayFind
local ____exports = {}
local missesAt, digitsOf, missed, inThisWindow, countMisses, newGuesser, countMiss, maxGuessers
local ____account_2Ets = require("src.base.account")
local limitOf = ____account_2Ets.limitOf
local ____text_2Ets = require("./text.ts")
local byteLength = ____text_2Ets.byteLength
--- Misses in this window and the one before. So every miss counts for at least `windowMs`.
function ____exports.recentMisses(turn)
    local ____inThisWindow_result_6 = inThisWindow(turn)
    local current = ____inThisWindow_result_6.current
    local previous = ____inThisWindow_result_6.previous
    return current + previous
end
function missesAt(turn, code)
    return turn:misses().byDigits[digitsOf(code)] or 0
end
function digitsOf(code)
    return tostring(byteLength(code))
end
function missed(turn, code)
    local misses = inThisWindow(turn)
    misses.current = misses.current + 1
    misses.byDigits[digitsOf(code)] = missesAt(turn, code) + 1
    turn:setMisses(misses)
end
function inThisWindow(turn)
    local known = turn:misses()
    local window = math.floor(turn.now / turn.windowMs)
    if known.window ~= window then
        known.previous = known.window == window - 1 and known.current or 0
        known.current = 0
        known.window = window
    end
    return known
end
function countMisses(turn, accounts, maxMisses)
    local siteIsFull = false
    do
        local i = #accounts - 1
        while i >= 0 do
            do
                local __continue28
                repeat
                    local account = accounts[i + 1]
                    if account == nil then
                        __continue28 = true
                        break
                    end
                    local guesser = turn:guesser(account.key) or newGuesser(turn)
                    if guesser == nil then
                        __continue28 = true
                        break
                    end
                    local limit = siteIsFull and maxMisses or limitOf(account, maxMisses)
                    local longestLock = ____exports.longestLocks[account.kind]
                    countMiss(turn, guesser, limit, longestLock)
                    if longestLock == 0 then
                        siteIsFull = guesser.count >= limit
                    end
                    turn:setGuesser(account.key, guesser)
                    __continue28 = true
                until true
                if not __continue28 then
                    break
                end
            end
            i = i - 1
        end
    end
end
function newGuesser(turn)
    if turn:guessers() >= maxGuessers then
        return nil
    end
    return {
        count = 0,
        windowEnd = 0,
        lockedUntil = 0,
        locks = 0,
        forgetAt = 0
    }
end
function countMiss(____bindingPattern0, guesser, limit, longestLock)
    local windowMs
    local now
    now = ____bindingPattern0.now
    windowMs = ____bindingPattern0.windowMs
    if now >= guesser.windowEnd then
        guesser.count = 0
        guesser.windowEnd = now + windowMs
    end
    guesser.count = guesser.count + 1
    if guesser.count >= limit and longestLock > 0 then
        guesser.lockedUntil = now + math.min(2 ^ guesser.locks, longestLock) * windowMs
        guesser.windowEnd = guesser.lockedUntil
        guesser.locks = guesser.locks + 1
    end
    local quietMs = guesser.locks > 0 and windowMs or 0
    guesser.forgetAt = math.max(guesser.forgetAt, guesser.windowEnd + quietMs)
end
maxGuessers = 100000
--- The longest lock of an account of each kind, in windows; 0: it is never locked.
____exports.longestLocks = {client = 64, customer = 1, site = 0, shared = 1}
--- Claims the first of the candidates that is free.
function ____exports.claim(turn, candidates, entry, limits)
    local ____turn_0 = turn
    local now = ____turn_0.now
    for ____, ____value in ipairs(entry.accounts) do
        local key = ____value.key
        local kind = ____value.kind
        if turn:heldBy(key) >= limits.maxHeld[kind] then
            return {
                outcome = "client_full",
                retryAfterMs = math.max(
                    0,
                    turn:firstFree(key) - now
                )
            }
        end
    end
    local recent = ____exports.recentMisses(turn)
    local allowance = __TS__ArrayFind(
        limits.allowances,
        function(____, ____bindingPattern0)
            local upToRecent
            upToRecent = ____bindingPattern0.upToRecent
            return recent <= upToRecent
        end
    )
    if allowance == nil then
        return {outcome = "crowded"}
    end
    if turn:live() >= limits.maxLive or turn:inUse() >= limits.maxUsed then
        return {outcome = "crowded"}
    end
    for ____, code in ipairs(candidates) do
        do
            local __continue9
            repeat
                if turn:code(code) ~= nil then
                    __continue9 = true
                    break
                end
                local ____entry_1 = entry
                local appId = ____entry_1.appId
                local accounts = ____entry_1.accounts
                local restMs = ____entry_1.restMs
                local ttlMs = ____entry_1.ttlMs
                local expiresAt = now + ttlMs
                turn:claimed({
                    code = code,
                    appId = appId,
                    accounts = accounts,
                    restMs = restMs,
                    expiresAt = expiresAt,
                    withdrawAt = missesAt(turn, code) + allowance.misses,
                    isUsed = false,
                    freeAt = expiresAt + restMs
                })
                return {outcome = "claimed", code = code, expiresAt = expiresAt}
            until true
            if not __continue9 then
                break
            end
        end
    end
    return {outcome = "collided"}
end
--- Takes a code out, unless the guesser is locked. Counts a miss for its accounts and globally.
function ____exports.guess(turn, code, accounts, maxMisses)
    local ____turn_2 = turn
    local now = ____turn_2.now
    if maxMisses > 0 then
        local lockedUntil = 0
        for ____, ____value in ipairs(accounts) do
            local key = ____value.key
            local ____lockedUntil_5 = lockedUntil
            local ____opt_3 = turn:guesser(key)
            lockedUntil = math.max(____lockedUntil_5, ____opt_3 and ____opt_3.lockedUntil or 0)
        end
        if lockedUntil > now then
            return {outcome = "locked", retryAfterMs = lockedUntil - now}
        end
    end
    local record = turn:code(code)
    if record == nil or record.isUsed or now >= record.expiresAt then
        missed(turn, code)
        if maxMisses > 0 then
            countMisses(turn, accounts, maxMisses)
        end
        return {outcome = "gone"}
    end
    if missesAt(turn, code) >= record.withdrawAt then
        return {outcome = "withdrawn"}
    end
    record.isUsed = true
    record.freeAt = now + record.restMs
    turn:taken(record)
    return {outcome = "taken", entry = {appId = record.appId, expiresAt = record.expiresAt}}
end
return ____exports
 end,
["src.engine.redis.inside.present"] = function(...) 
local ____lualib = require("lualib_bundle")
local __TS__ArrayPush = ____lualib.__TS__ArrayPush
local ____exports = {}
local write
local ____lua_2Ets = require("./lua.ts")
local call = ____lua_2Ets.call
local format = ____lua_2Ets.format
local number = ____lua_2Ets.number
local parse = ____lua_2Ets.parse
local quote = ____lua_2Ets.quote
function write(value, parts)
    if type(value) == "number" then
        parts[#parts + 1] = format("%.0f", value)
    elseif type(value) == "string" or type(value) == "boolean" then
        parts[#parts + 1] = quote(value)
    elseif value[1] == nil then
        local before = "{"
        for name in pairs(value) do
            do
                local __continue11
                repeat
                    local item = value[name]
                    if item == nil then
                        __continue11 = true
                        break
                    end
                    __TS__ArrayPush(
                        parts,
                        before,
                        quote(name),
                        ":"
                    )
                    write(item, parts)
                    before = ","
                    __continue11 = true
                until true
                if not __continue11 then
                    break
                end
            end
        end
        parts[#parts + 1] = before == "{" and "{}" or "}"
    else
        local before = "["
        for ____, item in ipairs(value) do
            parts[#parts + 1] = before
            write(item, parts)
            before = ","
        end
        parts[#parts + 1] = "]"
    end
end
--- The call under way.
____exports.present = {
    real = 0,
    now = 0,
    isFull = false,
    node = "",
    common = {}
}
--- `Common` by its JSON text, so that it is parsed only once.
local commons = {}
--- Begins a call. Returns false after its deadline: the call must change nothing.
function ____exports.begin(deadline, offset, common, node)
    local seconds, micros = unpack(
        call("TIME"),
        1,
        2
    )
    local real = (number(seconds) or 0) * 1000 + math.floor((number(micros) or 0) / 1000)
    if real >= (number(deadline) or 0) then
        return false
    end
    if commons[common] == nil then
        commons[common] = parse(common)
    end
    ____exports.present.common = commons[common]
    ____exports.present.real = real
    ____exports.present.now = real + (number(offset) or 0)
    ____exports.present.node = node
    return true
end
function ____exports.keyOf(name)
    return ____exports.present.common.root .. name
end
--- A reply as a number; 0 if it is missing.
function ____exports.numberAt(value)
    return number(value) or 0
end
--- JSON with all digits of its numbers, which must be whole. An empty list becomes `{}`, like an empty object.
function ____exports.json(value)
    local parts = {}
    write(value, parts)
    return table.concat(parts, "")
end
return ____exports
 end,
["src.engine.rules.counting"] = function(...) 
local ____exports = {}
local ____account_2Ets = require("src.base.account")
local shareOf = ____account_2Ets.shareOf
local ____text_2Ets = require("./text.ts")
local byteLength = ____text_2Ets.byteLength
local utf16Length = ____text_2Ets.utf16Length
local ____turn_2Ets = require("src.engine.rules.turn")
local entryCostBytes = ____turn_2Ets.entryCostBytes
--- Whether `more` would take one of the accounts past its share of `max`.
function ____exports.isPastShare(turn, what, more, accounts, max)
    for ____, account in ipairs(accounts) do
        if turn:charged(what, account) + more > shareOf(account, max) then
            return true
        end
    end
    return false
end
--- The bytes that a stored text counts: its own and a fixed cost. The runtime stores 1 byte per character
-- if all are Latin-1, otherwise 2. It does not show which, so text that is not all ASCII counts 2 bytes
-- per character.
function ____exports.costOf(text, bytes)
    if bytes == nil then
        bytes = byteLength(text)
    end
    local units = utf16Length(text)
    return entryCostBytes + (bytes == units and bytes or units * 2)
end
--- The bound on all rooms that refuses `bytes` more for these accounts; undefined when they fit.
function ____exports.againstBytes(turn, bytes, accounts)
    local max = turn.limits.mailTotalBytes
    local used = turn:counted("mailBytes") + turn:counted("heldBytes") + turn:counted("idBytes")
    if used + bytes > max then
        return "full"
    end
    return ____exports.isPastShare(
        turn,
        "bytes",
        bytes,
        accounts,
        max
    ) and "share_full" or nil
end
return ____exports
 end,
["src.engine.rules.mail"] = function(...) 
local ____lualib = require("lualib_bundle")
local __TS__ArrayFindIndex = ____lualib.__TS__ArrayFindIndex
local ____exports = {}
local boxOf, againstMail, countMail, countIds, acknowledge, giveBack, move, goOnFrom, countRead, atOnce
local ____counting_2Ets = require("src.engine.rules.counting")
local againstBytes = ____counting_2Ets.againstBytes
local costOf = ____counting_2Ets.costOf
local ____text_2Ets = require("./text.ts")
local byteLength = ____text_2Ets.byteLength
local ____turn_2Ets = require("src.engine.rules.turn")
local maxSeq = ____turn_2Ets.maxSeq
local placeOf = ____turn_2Ets.placeOf
local rememberedIds = ____turn_2Ets.rememberedIds
function boxOf(turn, place)
    if place.box == nil then
        place.box = {
            before = 0,
            last = 0,
            sent = 0,
            bytes = 0,
            stamp = 0,
            refusing = false
        }
        turn:count("mailboxes", 1)
    end
    return place.box
end
function againstMail(turn, box, bytes, cost, ____bindingPattern0, strict)
    local accounts
    accounts = ____bindingPattern0.accounts
    local ____turn_limits_6 = turn.limits
    local mailboxMaxMails = ____turn_limits_6.mailboxMaxMails
    local mailboxMaxBytes = ____turn_limits_6.mailboxMaxBytes
    local mails = box.last - box.before
    local isHalfEmpty = mails <= mailboxMaxMails / 2 and box.bytes <= mailboxMaxBytes / 2
    if box.refusing and isHalfEmpty then
        box.refusing = false
    end
    if box.refusing and strict then
        return "full"
    end
    local isFull = mails >= mailboxMaxMails or box.bytes + bytes > mailboxMaxBytes
    local bound = isFull and "full" or againstBytes(turn, cost, accounts)
    if bound ~= nil and strict then
        box.refusing = true
    end
    return bound
end
function ____exports.store(turn, to, box, mail)
    turn:mail(to):push(mail)
    countMail(turn, box, mail, 1)
    box.stamp = mail.stamp
    box.last = box.last + 1
    return box.last
end
function countMail(turn, box, mail, times)
    local cost = times * costOf(mail.payload, mail.bytes)
    box.bytes = box.bytes + times * mail.bytes
    turn:count("mails", times)
    turn:count("mailBytes", cost)
    turn:charge("bytes", mail.accounts, cost)
end
function ____exports.remember(turn, side, place, id, seq)
    local ids = turn:ids(side)
    ids:put(id, seq)
    countIds(
        turn,
        place,
        1,
        costOf(id)
    )
    local ____opt_7 = place.ids
    if (____opt_7 and ____opt_7.count or 0) > rememberedIds then
        countIds(
            turn,
            place,
            -1,
            -costOf(ids:dropOldest())
        )
    end
end
function countIds(turn, place, ids, cost)
    local ____opt_9 = place.ids
    local count = (____opt_9 and ____opt_9.count or 0) + ids
    local ____opt_11 = place.ids
    local bytes = (____opt_11 and ____opt_11.bytes or 0) + cost
    local ____place_14 = place
    local ____temp_13
    if count == 0 then
        ____temp_13 = nil
    else
        ____temp_13 = {count = count, bytes = bytes}
    end
    ____place_14.ids = ____temp_13
    turn:count("idBytes", cost)
    turn:charge("bytes", place.accounts, cost)
end
function acknowledge(turn, side, box, upTo)
    local count = math.min(upTo, box.last) - box.before
    if not (count > 0) then
        return
    end
    giveBack(turn, side, box, count)
    turn:mail(side):drop(count)
    box.before = box.before + count
    box.sent = math.max(box.sent, box.before)
end
function giveBack(turn, side, box, count)
    do
        local from = 0
        while from < count do
            local some = turn:mail(side):slice(
                from,
                math.min(atOnce, count - from)
            )
            for ____, mail in ipairs(some) do
                countMail(turn, box, mail, -1)
            end
            from = from + atOnce
        end
    end
end
function move(box, by)
    box.before = box.before + by
    box.last = box.last + by
    box.sent = box.sent + by
end
function goOnFrom(turn, place, stored)
    local ____temp_38 = place == nil
    if not ____temp_38 then
        local ____stored_37 = stored
        local ____opt_35 = place.box
        ____temp_38 = ____stored_37 <= (____opt_35 and ____opt_35.last or 0)
    end
    if ____temp_38 then
        return
    end
    local box = boxOf(turn, place)
    move(box, stored - box.last)
end
function countRead(turn, side, box, readStamp)
    local count = box.last - box.before
    do
        local from = 0
        while from < count do
            local some = turn:mail(side):slice(from, atOnce)
            local unread = __TS__ArrayFindIndex(
                some,
                function(____, ____bindingPattern0)
                    local stamp
                    stamp = ____bindingPattern0.stamp
                    return stamp > readStamp
                end
            )
            if unread >= 0 then
                return from + unread
            end
            from = from + atOnce
        end
    end
    return count
end
atOnce = 64
local mailEvent = {kind = "mail"}
--- How many mails are stored for a side.
function ____exports.mailsIn(____bindingPattern0)
    local box
    box = ____bindingPattern0.box
    return box == nil and 0 or box.last - box.before
end
function ____exports.append(turn, seat, to, mail)
    local ____mail_0 = mail
    local payload = ____mail_0.payload
    local id = ____mail_0.id
    local strict = ____mail_0.strict
    local mine = placeOf(turn, seat)
    local ____opt_1 = turn.room
    local place = ____opt_1 and ____opt_1[to]
    if mine == nil or place == nil then
        return {outcome = "replaced"}
    end
    local ____temp_3
    if id == nil or mine.ids == nil then
        ____temp_3 = nil
    else
        ____temp_3 = turn:ids(seat.side):seqOf(id)
    end
    local known = ____temp_3
    if known ~= nil then
        local ____opt_4 = place.box
        if known <= (____opt_4 and ____opt_4.last or 0) then
            return {outcome = "stored", seq = known}
        end
        return {outcome = "stored", seq = known, isElsewhere = true}
    end
    local bytes = byteLength(payload)
    local idCost = id == nil and 0 or costOf(id)
    local box = boxOf(turn, place)
    local bound = againstMail(
        turn,
        box,
        bytes,
        costOf(payload, bytes) + idCost,
        mine,
        strict
    )
    if bound ~= nil then
        return {outcome = bound}
    end
    local stamp = math.max(box.stamp + 1, turn.fresh)
    local seq = ____exports.store(turn, to, box, {
        from = seat.side,
        payload = payload,
        bytes = bytes,
        accounts = mine.accounts,
        stamp = stamp
    })
    if id ~= nil then
        ____exports.remember(
            turn,
            seat.side,
            mine,
            id,
            seq
        )
    end
    if place.seat ~= nil then
        turn:tell(to, place.seat, mailEvent)
    end
    return {outcome = "stored", seq = seq}
end
--- The mail after a seq, oldest first; undefined if none is stored. After the store has gone back in time,
-- mail may have a higher seq than when this connection read it. Stamps show what it has already read.
function ____exports.read(turn, seat, after, maxBytes)
    local ____opt_15 = placeOf(turn, seat)
    local box = ____opt_15 and ____opt_15.box
    if box == nil then
        return nil
    end
    local ____seat_17 = seat
    local known = ____seat_17.known
    local readStamp = known ~= nil and after >= known.readSeq and known.readStamp or 0
    local mails = {}
    local bytes = 0
    local stamp = 0
    local seq = math.max(after, box.before)
    while seq < box.last do
        local some = turn:mail(seat.side):slice(seq - box.before, atOnce)
        if #some == 0 then
            break
        end
        for ____, mail in ipairs(some) do
            do
                local __continue25
                repeat
                    seq = seq + 1
                    if mail.stamp <= readStamp then
                        __continue25 = true
                        break
                    end
                    bytes = bytes + mail.bytes
                    if bytes > maxBytes and stamp > 0 then
                        return {mails = mails, stamp = stamp}
                    end
                    mails[#mails + 1] = {seq = seq, from = mail.from, payload = mail.payload}
                    stamp = mail.stamp
                    box.sent = math.max(box.sent, seq)
                    __continue25 = true
                until true
                if not __continue25 then
                    break
                end
            end
        end
    end
    local ____temp_18
    if stamp == 0 then
        ____temp_18 = nil
    else
        ____temp_18 = {mails = mails, stamp = stamp}
    end
    return ____temp_18
end
function ____exports.ack(turn, seat, upTo)
    local ____opt_19 = placeOf(turn, seat)
    local box = ____opt_19 and ____opt_19.box
    if box ~= nil then
        acknowledge(turn, seat.side, box, upTo)
    end
end
--- A watermark above every seq sent is from a room since forgotten: stored mail is renumbered above it.
function ____exports.hello(turn, seat, upTo)
    local place = placeOf(turn, seat)
    if place == nil then
        return {moved = 0, before = 0}
    end
    if upTo <= 0 or upTo > maxSeq then
        local ____opt_21 = place.box
        return {moved = 0, before = ____opt_21 and ____opt_21.before or 0}
    end
    local box = boxOf(turn, place)
    if upTo <= box.sent then
        acknowledge(turn, seat.side, box, upTo)
        return {moved = 0, before = box.before}
    end
    local moved = upTo - box.before
    move(box, moved)
    box.sent = upTo
    return {moved = moved, before = upTo}
end
--- Brings mailboxes of a store that has gone back in time up to what a holder knows: no seq that a client
-- knows is assigned to other mail. Seqs only grow. So a client that acknowledges an old seq acknowledges
-- too little, never too much.
function ____exports.catchUp(turn, place, side, known)
    local ____known_23 = known
    local readSeq = ____known_23.readSeq
    local readStamp = ____known_23.readStamp
    local sentSeq = ____known_23.sentSeq
    local acked = ____known_23.acked
    local storedA = ____known_23.storedA
    local storedB = ____known_23.storedB
    local ____goOnFrom_27 = goOnFrom
    local ____turn_26 = turn
    local ____opt_24 = turn.room
    ____goOnFrom_27(____turn_26, ____opt_24 and ____opt_24.A, storedA)
    local ____goOnFrom_31 = goOnFrom
    local ____turn_30 = turn
    local ____opt_28 = turn.room
    ____goOnFrom_31(____turn_30, ____opt_28 and ____opt_28.B, storedB)
    local ____sentSeq_34 = sentSeq
    local ____opt_32 = place.box
    if ____sentSeq_34 > (____opt_32 and ____opt_32.sent or 0) then
        local box = boxOf(turn, place)
        move(
            box,
            math.max(
                0,
                readSeq - box.before - countRead(turn, side, box, readStamp)
            )
        )
        box.sent = math.max(box.sent, sentSeq)
        box.stamp = math.max(box.stamp, readStamp)
    end
    if place.box ~= nil and acked > place.box.before then
        acknowledge(turn, side, place.box, acked)
    end
end
--- A side's remembered ids count towards its next occupant from now on.
function ____exports.passIds(turn, ____bindingPattern0, to)
    local ids
    local accounts
    accounts = ____bindingPattern0.accounts
    ids = ____bindingPattern0.ids
    if ids == nil then
        return
    end
    turn:charge("bytes", accounts, -ids.bytes)
    turn:charge("bytes", to, ids.bytes)
end
--- Forgets a side's mail and remembered ids.
function ____exports.discardMail(turn, side, place)
    local ____place_39 = place
    local box = ____place_39.box
    if place.ids ~= nil then
        countIds(turn, place, -place.ids.count, -place.ids.bytes)
        turn:ids(side):clear()
    end
    if box == nil then
        return
    end
    turn:count("mailboxes", -1)
    local mails = ____exports.mailsIn(place)
    if mails == 0 then
        return
    end
    turn:dropped("room_forgotten", mails)
    giveBack(turn, side, box, mails)
    turn:mail(side):drop(mails)
end
return ____exports
 end,
["src.engine.rules.relay"] = function(...) 
local ____lualib = require("lualib_bundle")
local __TS__ArrayMap = ____lualib.__TS__ArrayMap
local __TS__ArrayFilter = ____lualib.__TS__ArrayFilter
local ____exports = {}
local publishOne, hold, countHeld, nothing
local ____counting_2Ets = require("src.engine.rules.counting")
local againstBytes = ____counting_2Ets.againstBytes
local costOf = ____counting_2Ets.costOf
local ____text_2Ets = require("./text.ts")
local byteLength = ____text_2Ets.byteLength
local ____turn_2Ets = require("src.engine.rules.turn")
local otherSide = ____turn_2Ets.otherSide
local placeOf = ____turn_2Ets.placeOf
function publishOne(turn, ____bindingPattern0, accounts, frame)
    local token
    local side
    side = ____bindingPattern0.side
    token = ____bindingPattern0.token
    local ____turn_0 = turn
    local room = ____turn_0.room
    local now = ____turn_0.now
    local limits = ____turn_0.limits
    local other = otherSide(side)
    local place = room and room[other]
    if place == nil then
        return "no_peer"
    end
    local seat = place.seat
    if seat == nil or not place.started then
        if seat == nil and place.leftAt == nil then
            return "no_peer"
        end
        if seat == nil and ____exports.holdIsOver(place, now, limits.relayHoldMs) then
            return "no_peer"
        end
        local ____frame_3 = frame
        local ____type = ____frame_3.type
        local text = ____frame_3.text
        local held = {
            type = ____type,
            text = text,
            bytes = byteLength(text),
            from = token,
            accounts = accounts
        }
        if ____type == "offer" then
            ____exports.clearHold(
                turn,
                other,
                place,
                "stale",
                token
            )
        end
        local bound = hold(turn, other, place, held)
        if bound == nil then
            return "held"
        end
        if seat == nil then
            return bound == "full" and "hold_full" or "hold_share"
        end
        ____exports.begin(turn, other, place)
    end
    if seat ~= nil then
        turn:tell(other, seat, {kind = "frame", type = frame.type, text = frame.text})
    end
    return "delivered"
end
--- Whether a side left at least `relayHoldMs` ago. False for a side that is seated or was never seated.
function ____exports.holdIsOver(____bindingPattern0, now, relayHoldMs)
    local leftAt
    leftAt = ____bindingPattern0.leftAt
    return leftAt ~= nil and now >= leftAt + relayHoldMs
end
function hold(turn, side, place, held)
    local ____turn_limits_4 = turn.limits
    local holdMaxFrames = ____turn_limits_4.holdMaxFrames
    local holdMaxBytes = ____turn_limits_4.holdMaxBytes
    local ____held_5 = held
    local text = ____held_5.text
    local bytes = ____held_5.bytes
    local accounts = ____held_5.accounts
    local ____temp_6 = place.hold or nothing
    local count = ____temp_6.count
    local before = ____temp_6.bytes
    if count >= holdMaxFrames or before + bytes > holdMaxBytes then
        return "full"
    end
    local bound = againstBytes(
        turn,
        costOf(text, bytes),
        accounts
    )
    if bound ~= nil then
        return bound
    end
    turn:held(side):push(held)
    countHeld(turn, place, held, 1)
    return nil
end
function countHeld(turn, place, ____bindingPattern0, times)
    local accounts
    local bytes
    local text
    text = ____bindingPattern0.text
    bytes = ____bindingPattern0.bytes
    accounts = ____bindingPattern0.accounts
    local cost = times * costOf(text, bytes)
    local ____opt_7 = place.hold
    local count = (____opt_7 and ____opt_7.count or 0) + times
    local ____opt_9 = place.hold
    local sum = (____opt_9 and ____opt_9.bytes or 0) + times * bytes
    local ____place_12 = place
    local ____temp_11
    if count == 0 then
        ____temp_11 = nil
    else
        ____temp_11 = {count = count, bytes = sum}
    end
    ____place_12.hold = ____temp_11
    turn:count("heldFrames", times)
    turn:count("heldBytes", cost)
    turn:charge("bytes", accounts, cost)
end
--- Drops the frames held for a side, except those from the connection with token `butFrom`.
function ____exports.clearHold(turn, side, place, why, butFrom)
    if butFrom == nil then
        butFrom = 0
    end
    if place.hold == nil then
        return
    end
    local all = turn:held(side):slice(0, place.hold.count)
    local kept = __TS__ArrayFilter(
        all,
        function(____, ____bindingPattern0)
            local from
            from = ____bindingPattern0.from
            return from == butFrom
        end
    )
    if #kept == #all then
        return
    end
    turn:dropped(why, #all - #kept)
    for ____, held in ipairs(all) do
        if held.from ~= butFrom then
            countHeld(turn, place, held, -1)
        end
    end
    turn:held(side):replace(kept)
end
--- Delivers the held frames. From now on frames go straight to the occupant.
function ____exports.begin(turn, side, place)
    local ____place_13 = place
    local seat = ____place_13.seat
    if seat == nil then
        return
    end
    place.started = true
    if place.hold == nil then
        return turn:tell(side, seat, {kind = "started"})
    end
    local all = turn:held(side):slice(0, place.hold.count)
    for ____, held in ipairs(all) do
        countHeld(turn, place, held, -1)
    end
    turn:held(side):replace({})
    turn:tell(
        side,
        seat,
        {
            kind = "started",
            held = __TS__ArrayMap(
                all,
                function(____, ____bindingPattern0)
                    local text
                    local ____type
                    ____type = ____bindingPattern0.type
                    text = ____bindingPattern0.text
                    return {type = ____type, text = text}
                end
            )
        }
    )
end
--- Relays frames to the other side, each as if it came alone. Returns the outcome of each.
function ____exports.publish(turn, seat, frames)
    local mine = placeOf(turn, seat)
    return __TS__ArrayMap(
        frames,
        function(____, frame) return mine == nil and "replaced" or publishOne(turn, seat, mine.accounts, frame) end
    )
end
nothing = {count = 0, bytes = 0}
--- Starts the relay to a seat. Held frames are delivered first, or dropped with `discard`.
function ____exports.start(turn, seat, discard)
    local place = placeOf(turn, seat)
    if place == nil or place.started then
        return
    end
    if discard then
        ____exports.clearHold(turn, seat.side, place, "stale")
    end
    ____exports.begin(turn, seat.side, place)
end
return ____exports
 end,
["src.engine.rules.room"] = function(...) 
local ____exports = {}
local newPlace, roomBound, mailWaits, overAt, settleSide
local ____counting_2Ets = require("src.engine.rules.counting")
local isPastShare = ____counting_2Ets.isPastShare
local ____mail_2Ets = require("src.engine.rules.mail")
local discardMail = ____mail_2Ets.discardMail
local mailsIn = ____mail_2Ets.mailsIn
local passIds = ____mail_2Ets.passIds
local ____relay_2Ets = require("src.engine.rules.relay")
local clearHold = ____relay_2Ets.clearHold
local holdIsOver = ____relay_2Ets.holdIsOver
local ____turn_2Ets = require("src.engine.rules.turn")
local nobody = ____turn_2Ets.nobody
local otherSide = ____turn_2Ets.otherSide
local sides = ____turn_2Ets.sides
function newPlace()
    return {
        seat = nil,
        started = false,
        vouched = nil,
        lastToken = 0,
        sid = "",
        accounts = nobody,
        leftAt = nil,
        parked = nil,
        guard = nil,
        hold = nil,
        box = nil,
        ids = nil
    }
end
function roomBound(____bindingPattern0, minted)
    local limits
    limits = ____bindingPattern0.limits
    return minted and limits.maxRooms or math.floor(limits.maxRooms / 2)
end
function mailWaits(____bindingPattern0)
    local B
    local A
    A = ____bindingPattern0.A
    B = ____bindingPattern0.B
    return mailsIn(A) > 0 or mailsIn(B) > 0
end
--- Whether the room is empty and no mail is stored in it.
function ____exports.isBare(room)
    return room.emptyAt ~= nil and not mailWaits(room)
end
function overAt(turn, room, emptyAt)
    local ____turn_limits_0 = turn.limits
    local relayHoldMs = ____turn_limits_0.relayHoldMs
    local roomTtlMs = ____turn_limits_0.roomTtlMs
    if room.redeemed or mailWaits(room) then
        return emptyAt + roomTtlMs
    end
    local ____room_minted_3
    if room.minted then
        local ____opt_1 = turn:code()
        ____room_minted_3 = ____opt_1 and ____opt_1.expiresAt or 0
    else
        ____room_minted_3 = 0
    end
    local codeEnds = ____room_minted_3
    return math.max(
        emptyAt + relayHoldMs,
        math.min(codeEnds, emptyAt + roomTtlMs)
    )
end
function settleSide(turn, room, side)
    local place = room[side]
    if place.seat ~= nil and not turn:isAlive(place.seat.node) then
        ____exports.vacate(turn, room, side)
    end
    if place.hold ~= nil and holdIsOver(place, turn.now, turn.limits.relayHoldMs) then
        clearHold(turn, side, place, "hold_expired")
    end
end
function ____exports.forgetIfOver(turn, room)
    if room.emptyAt ~= nil and overAt(turn, room, room.emptyAt) <= turn.now then
        ____exports.forget(turn, room)
    end
end
--- Forgets an empty room, with its held frames and mail.
function ____exports.forget(turn, room)
    if ____exports.isBare(room) then
        turn:count("bareRooms", -1)
    end
    for ____, side in ipairs(sides) do
        clearHold(turn, side, room[side], "hold_expired")
        discardMail(turn, side, room[side])
    end
    turn:count("rooms", -1)
    turn:charge("rooms", room.owner, -1)
    turn.room = nil
end
--- Removes the occupant. Notifies the other side and the newcomer that waits for the seat.
function ____exports.vacate(turn, room, side)
    local place = room[side]
    if place.seat == nil then
        return
    end
    ____exports.tellOther(turn, room, side, {kind = "left", token = place.seat.token})
    turn:count("peers", -1)
    place.seat = nil
    place.started = false
    place.leftAt = turn.now
    if room[otherSide(side)].seat == nil then
        room.emptyAt = turn.now
        if ____exports.isBare(room) then
            turn:count("bareRooms", 1)
        end
    end
    local ____opt_10 = place.parked
    local waiter = ____opt_10 and ____opt_10.waiter
    if waiter ~= nil then
        turn:tellWaiter(waiter, "vacant")
    end
end
function ____exports.tellOther(turn, room, side, event)
    local other = otherSide(side)
    local ____room_other_12 = room[other]
    local seat = ____room_other_12.seat
    if seat ~= nil then
        turn:tell(other, seat, event)
    end
end
--- At most this many bare rooms are forgotten to make space for a new one.
local giveWayAtOnce = 64
--- Creates a room. A seat in it has to be taken in the same turn.
function ____exports.newRoom(turn, accounts)
    local code = turn:code()
    local room = {
        appId = turn.appId,
        startedAt = turn.now,
        tokens = 0,
        paired = false,
        established = false,
        minted = code ~= nil,
        redeemed = code ~= nil and code.state == "used",
        owner = code == nil and accounts or nobody,
        emptyAt = nil,
        A = newPlace(),
        B = newPlace()
    }
    turn.room = room
    turn:count("rooms", 1)
    turn:charge("rooms", room.owner, 1)
    local crowding = turn:counted("rooms") - roomBound(turn, room.minted)
    if crowding > 0 then
        turn:makeSpace(math.min(crowding, giveWayAtOnce))
    end
    return room
end
--- Whether the room exists or there is space for it. Bare rooms do not count: they make space.
function ____exports.admission(turn, accounts)
    if turn.room ~= nil then
        return "admitted"
    end
    local minted = turn:code() ~= nil
    local max = roomBound(turn, minted)
    if turn:counted("rooms") - turn:counted("bareRooms") >= max then
        return "full"
    end
    return not minted and isPastShare(
        turn,
        "rooms",
        1,
        accounts,
        max
    ) and "share_full" or "admitted"
end
--- When the room or one of its holds expires next; undefined: never. Depends on the same as `overAt`.
function ____exports.lookAt(turn, room)
    local ____temp_4
    if room.emptyAt == nil then
        ____temp_4 = nil
    else
        ____temp_4 = overAt(turn, room, room.emptyAt)
    end
    local at = ____temp_4
    for ____, side in ipairs(sides) do
        do
            local __continue14
            repeat
                local ____room_side_5 = room[side]
                local hold = ____room_side_5.hold
                local leftAt = ____room_side_5.leftAt
                if hold == nil or leftAt == nil then
                    __continue14 = true
                    break
                end
                local over = leftAt + turn.limits.relayHoldMs
                at = at == nil and over or math.min(at, over)
                __continue14 = true
            until true
            if not __continue14 then
                break
            end
        end
    end
    return at
end
--- Applies what has expired since the room's last turn. Runs before every verb.
function ____exports.settle(turn)
    local ____turn_6 = turn
    local room = ____turn_6.room
    if room == nil then
        return
    end
    settleSide(turn, room, "A")
    settleSide(turn, room, "B")
    ____exports.forgetIfOver(turn, room)
end
function ____exports.sit(turn, room, side, sitter)
    local ____sitter_7 = sitter
    local token = ____sitter_7.token
    local node = ____sitter_7.node
    local sid = ____sitter_7.sid
    local accounts = ____sitter_7.accounts
    local place = room[side]
    if ____exports.isBare(room) then
        turn:count("bareRooms", -1)
    end
    if place.seat == nil then
        turn:count("peers", 1)
    end
    passIds(turn, place, accounts)
    place.seat = {token = token, node = node}
    place.lastToken = token
    place.vouched = nil
    place.sid = sid
    place.accounts = accounts
    place.leftAt = nil
    local ____opt_8 = place.parked
    place.parked = ____opt_8 and ____opt_8.waiter and ({times = 0, waiter = place.parked.waiter})
    room.emptyAt = nil
    room.tokens = math.max(room.tokens, token)
end
return ____exports
 end,
["src.engine.rules.seats"] = function(...) 
local ____lualib = require("lualib_bundle")
local __TS__ObjectAssign = ____lualib.__TS__ObjectAssign
local ____exports = {}
local takeover, isTakenFrom, sitAgain, vouch
local ____mail_2Ets = require("src.engine.rules.mail")
local catchUp = ____mail_2Ets.catchUp
local mailsIn = ____mail_2Ets.mailsIn
local ____relay_2Ets = require("src.engine.rules.relay")
local begin = ____relay_2Ets.begin
local clearHold = ____relay_2Ets.clearHold
local ____room_2Ets = require("src.engine.rules.room")
local admission = ____room_2Ets.admission
local forgetIfOver = ____room_2Ets.forgetIfOver
local newRoom = ____room_2Ets.newRoom
local sit = ____room_2Ets.sit
local tellOther = ____room_2Ets.tellOther
local vacate = ____room_2Ets.vacate
local ____turn_2Ets = require("src.engine.rules.turn")
local otherSide = ____turn_2Ets.otherSide
local placeOf = ____turn_2Ets.placeOf
local takeoverGuardMaxMs = ____turn_2Ets.takeoverGuardMaxMs
local takeoverGuardMs = ____turn_2Ets.takeoverGuardMs
function takeover(____bindingPattern0, place, occupant, sid, how)
    local now
    now = ____bindingPattern0.now
    if how == "free" then
        return nil
    end
    if how ~= "same_sid" then
        return how.dead == occupant.token and "dead" or nil
    end
    if sid == "" or sid ~= place.sid then
        return nil
    end
    local ____place_9 = place
    local guard = ____place_9.guard
    if guard ~= nil and now < guard["until"] then
        guard.contested = true
        return nil
    end
    local isContested = guard and guard.contested
    local spanMs = isContested and math.min(guard.spanMs * 2, takeoverGuardMaxMs) or takeoverGuardMs
    place.guard = {["until"] = now + spanMs, spanMs = spanMs, contested = false}
    return "same_sid"
end
function isTakenFrom(____bindingPattern0, ____bindingPattern1)
    local lastToken
    local seat
    seat = ____bindingPattern0.seat
    lastToken = ____bindingPattern0.lastToken
    local node
    local token
    token = ____bindingPattern1.token
    node = ____bindingPattern1.node
    return lastToken > token or (seat and seat.token) == token and seat.node > node
end
--- `same_sid` if the same client took the seat. `dead` if another did: the old client may reconnect.
function ____exports.whyReplaced(sid, other)
    return sid ~= "" and sid == other and "same_sid" or "dead"
end
function sitAgain(turn, holder, ____bindingPattern0)
    local accounts
    local sid
    sid = ____bindingPattern0.sid
    accounts = ____bindingPattern0.accounts
    local ____holder_37 = holder
    local side = ____holder_37.side
    local token = ____holder_37.token
    local room = turn.room or newRoom(turn, accounts)
    local place = room[side]
    local me = {token = token, node = turn.node}
    if place.lastToken < token then
        clearHold(turn, side, place, "stale")
    end
    if place.seat ~= nil then
        turn:tell(
            side,
            place.seat,
            {
                kind = "replaced",
                why = ____exports.whyReplaced(sid, place.sid)
            }
        )
    end
    sit(
        turn,
        room,
        side,
        __TS__ObjectAssign({}, me, {sid = sid, accounts = accounts})
    )
    place.started = false
    tellOther(turn, room, side, {kind = "joined", peer = me})
    vouch(
        turn,
        room,
        otherSide(side),
        holder.peer
    )
    local peer = room[otherSide(side)].seat
    if peer ~= nil then
        room.paired = true
        turn:tell(side, me, {kind = "joined", peer = peer})
    end
end
function vouch(turn, room, side, peer)
    local place = room[side]
    if peer == nil or place.lastToken >= peer.token or place.seat ~= nil then
        return
    end
    turn:tell(side, peer, {kind = "check"})
    if not turn:isAlive(peer.node) then
        return
    end
    clearHold(turn, side, place, "stale")
    sit(
        turn,
        room,
        side,
        __TS__ObjectAssign({}, peer, {sid = place.sid, accounts = place.accounts})
    )
    place.started = false
    place.vouched = true
end
--- Takes a seat. Creates the room if it does not exist and there is space.
function ____exports.take(turn, taker, how)
    local ____taker_0 = taker
    local side = ____taker_0.side
    local sid = ____taker_0.sid
    local accounts = ____taker_0.accounts
    local space = admission(turn, accounts)
    if space ~= "admitted" then
        return {outcome = space}
    end
    local room = turn.room or newRoom(turn, accounts)
    local place = room[side]
    if place.seat ~= nil then
        local why = takeover(
            turn,
            place,
            place.seat,
            sid,
            how
        )
        if why == nil then
            return {outcome = "busy", token = place.seat.token}
        end
        turn:tell(side, place.seat, {kind = "replaced", why = why})
    end
    if place.sid ~= sid then
        clearHold(turn, side, place, "stale")
    end
    local token = math.max(room.tokens + 1, turn.fresh)
    sit(turn, room, side, {token = token, node = turn.node, sid = sid, accounts = accounts})
    place.started = place.hold == nil
    local peer = room[otherSide(side)].seat
    local firstPair = peer ~= nil and not room.paired
    if firstPair then
        room.paired = true
    end
    tellOther(turn, room, side, {kind = "joined", peer = place.seat})
    local ____token_5 = token
    local ____peer_6 = peer
    local ____firstPair_7 = firstPair
    local ____opt_1 = place.hold
    local ____temp_8 = ____opt_1 and ____opt_1.count or 0
    local ____opt_3 = place.box
    return {
        outcome = "taken",
        token = ____token_5,
        peer = ____peer_6,
        firstPair = ____firstPair_7,
        held = ____temp_8,
        lastSeq = ____opt_3 and ____opt_3.last or 0,
        mailWaits = mailsIn(place) > 0,
        redeemed = room.redeemed
    }
end
--- Does nothing and returns false when the token does not hold the seat. The only verb without `reclaim`.
function ____exports.leave(turn, seat)
    local ____turn_12 = turn
    local room = ____turn_12.room
    local place = placeOf(turn, seat)
    if room == nil or place == nil then
        return false
    end
    if seat.known ~= nil then
        catchUp(turn, place, seat.side, seat.known)
    end
    vacate(turn, room, seat.side)
    forgetIfOver(turn, room)
    return true
end
--- Returns how many newcomers have waited for this occupant; 0 when the seat is free.
function ____exports.park(turn, side, waiter)
    local ____opt_13 = turn.room
    local place = ____opt_13 and ____opt_13[side]
    if (place and place.seat) == nil then
        return 0
    end
    local ____temp_17 = place.parked or ({times = 0})
    local times = ____temp_17.times
    local earlier = ____temp_17.waiter
    if earlier ~= nil then
        turn:tellWaiter(earlier, "displaced")
    end
    place.parked = {times = times + 1, waiter = waiter}
    return times + 1
end
function ____exports.unpark(____bindingPattern0, side, waiter)
    local room
    room = ____bindingPattern0.room
    local parked = room and room[side].parked
    local ____opt_20 = parked and parked.waiter
    if (____opt_20 and ____opt_20.name) == waiter.name and parked.waiter.node == waiter.node then
        parked.waiter = nil
    end
end
--- Asks the occupant with this token whether it is alive. Its answer goes to the asking node.
function ____exports.probe(turn, seat, question)
    local ____opt_24 = turn.room
    local occupant = ____opt_24 and ____opt_24[seat.side].seat
    if (occupant and occupant.token) ~= seat.token then
        return "gone"
    end
    turn:tell(seat.side, occupant, {kind = "probe", question = question, node = turn.node})
    return "asked"
end
--- The first call returns the room's age in ms, later calls return undefined.
function ____exports.establish(turn, seat)
    local ____turn_28 = turn
    local room = ____turn_28.room
    if room == nil or placeOf(turn, seat) == nil then
        return nil
    end
    if room.established then
        return nil
    end
    room.established = true
    return turn.now - room.startedAt
end
function ____exports.allowsIce(____bindingPattern0, side, mustBeRedeemed)
    local room
    room = ____bindingPattern0.room
    if (room and room[side].seat) == nil then
        return "no_seat"
    end
    return mustBeRedeemed and not room.redeemed and "not_redeemed" or "granted"
end
--- Runs before every request of a seat's holder. The store may have lost the room or the seat, or may
-- have an older state of them. Then the holder is seated again, and mailboxes go on from what it knows.
-- If two connections hold one seat, the newer one stays and the other is replaced.
function ____exports.reclaim(turn, holder, known)
    local ____holder_31 = holder
    local side = ____holder_31.side
    local token = ____holder_31.token
    local me = {token = token, node = turn.node}
    local ____opt_32 = turn.room
    local before = ____opt_32 and ____opt_32[side]
    if before ~= nil and isTakenFrom(before, me) then
        return turn:tell(
            side,
            me,
            {
                kind = "replaced",
                why = ____exports.whyReplaced(known.sid, before.sid)
            }
        )
    end
    local isSeated = placeOf(turn, holder) ~= nil
    if not isSeated then
        sitAgain(turn, holder, known)
    end
    local ____turn_34 = turn
    local room = ____turn_34.room
    if room == nil then
        return
    end
    if known.redeemed then
        room.redeemed = true
    end
    local place = room[side]
    if place.vouched == true then
        sit(
            turn,
            room,
            side,
            __TS__ObjectAssign({}, me, {sid = known.sid, accounts = known.accounts})
        )
    elseif isSeated and holder.isStarted and not place.started then
        clearHold(turn, side, place, "stale")
    end
    if holder.isStarted and not place.started then
        begin(turn, side, place)
    end
    catchUp(turn, place, side, known)
end
function ____exports.check(turn, ____bindingPattern0, framesLost)
    local side
    side = ____bindingPattern0.side
    local ____turn_38 = turn
    local room = ____turn_38.room
    local place = room and room[side]
    if framesLost and room ~= nil then
        tellOther(turn, room, side, {kind = "again"})
    end
    local ____temp_43 = place and place.started
    if ____temp_43 == nil then
        ____temp_43 = false
    end
    local ____temp_50 = room and room[otherSide(side)].seat
    local ____opt_46 = place and place.box
    return {started = ____temp_43, peer = ____temp_50, lastSeq = ____opt_46 and ____opt_46.last or 0}
end
return ____exports
 end,
["src.engine.rules.rules"] = function(...) 
local ____exports = {}
local ____mail_2Ets = require("src.engine.rules.mail")
local ack = ____mail_2Ets.ack
local append = ____mail_2Ets.append
local hello = ____mail_2Ets.hello
local read = ____mail_2Ets.read
local ____relay_2Ets = require("src.engine.rules.relay")
local publish = ____relay_2Ets.publish
local start = ____relay_2Ets.start
local ____room_2Ets = require("src.engine.rules.room")
local forget = ____room_2Ets.forget
local isBare = ____room_2Ets.isBare
local settle = ____room_2Ets.settle
local ____seats_2Ets = require("src.engine.rules.seats")
local allowsIce = ____seats_2Ets.allowsIce
local check = ____seats_2Ets.check
local establish = ____seats_2Ets.establish
local leave = ____seats_2Ets.leave
local park = ____seats_2Ets.park
local probe = ____seats_2Ets.probe
local reclaim = ____seats_2Ets.reclaim
local take = ____seats_2Ets.take
local unpark = ____seats_2Ets.unpark
--- Forgets a bare room, to make space for another.
local function giveWay(turn)
    if turn.room ~= nil and isBare(turn.room) then
        forget(turn, turn.room)
    end
end
--- The room's code was redeemed.
local function redeem(____bindingPattern0)
    local room
    room = ____bindingPattern0.room
    if room ~= nil then
        room.redeemed = true
    end
end
--- Only applies what has expired: `settle` runs before every verb.
local function nothing(_)
end
--- Verbs that need no seat.
local roomVerbs = {
    take = take,
    park = park,
    unpark = unpark,
    probe = probe,
    allowsIce = allowsIce,
    giveWay = giveWay,
    redeem = redeem,
    nothing = nothing
}
--- Verbs of the holder of a seat.
local seatVerbs = {
    leave = leave,
    establish = establish,
    publish = publish,
    start = start,
    append = append,
    read = read,
    ack = ack,
    hello = hello,
    check = check
}
--- Runs one verb as a turn at the room. `holder` is for `seatVerbs` only. Arguments are plain data without
-- `undefined`.
function ____exports.run(turn, verb, holder, first, second)
    settle(turn)
    if holder == nil then
        local ____opt_0 = roomVerbs[verb]
        return ____opt_0 and ____opt_0(turn, first, second)
    end
    if holder.known ~= nil and verb ~= "leave" then
        reclaim(turn, holder, holder.known)
    end
    local ____opt_2 = seatVerbs[verb]
    return ____opt_2 and ____opt_2(turn, holder, first, second)
end
return ____exports
 end,
["src.engine.redis.inside.turn"] = function(...) 
local ____lualib = require("lualib_bundle")
local __TS__Class = ____lualib.__TS__Class
local __TS__New = ____lualib.__TS__New
local __TS__ArrayIncludes = ____lualib.__TS__ArrayIncludes
local __TS__ArraySome = ____lualib.__TS__ArraySome
local ____exports = {}
local shareName, leastStreamBytes
local ____room_2Ets = require("src.engine.rules.room")
local isBare = ____room_2Ets.isBare
local lookAt = ____room_2Ets.lookAt
local ____rules_2Ets = require("src.engine.rules.rules")
local run = ____rules_2Ets.run
local ____turn_2Ets = require("src.engine.rules.turn")
local sides = ____turn_2Ets.sides
local ____lua_2Ets = require("./lua.ts")
local call = ____lua_2Ets.call
local pack = ____lua_2Ets.pack
local ____unpack = ____lua_2Ets.unpack
local ____present_2Ets = require("src.engine.redis.inside.present")
local json = ____present_2Ets.json
local keyOf = ____present_2Ets.keyOf
local numberAt = ____present_2Ets.numberAt
local present = ____present_2Ets.present
function shareName(what, ____bindingPattern0)
    local kind
    local key
    key = ____bindingPattern0.key
    kind = ____bindingPattern0.kind
    return (((what .. ":") .. kind) .. ":") .. key
end
--- When the lease of a node ends; 0 for an unknown node.
function ____exports.leaseOf(node)
    return numberAt(call(
        "ZSCORE",
        keyOf("nodes"),
        node
    ))
end
--- Sends messages to a node. A node that is gone, or that Redis has forgotten, has no stream: only a
-- `check` creates one. If a node leaves more bytes unread than its bound, all of them are replaced by a
-- `gap` entry.
function ____exports.post(node, messages)
    local stream = keyOf("node:" .. node)
    local streams = keyOf("streams")
    local text = json(messages)
    if call(
        "XADD",
        stream,
        "NOMKSTREAM",
        "*",
        "m",
        text
    ) == false then
        local hasCheck = __TS__ArraySome(
            messages,
            function(____, one) return one.to == "seat" and one.event.kind == "check" end
        )
        if not hasCheck then
            return {}
        end
        call(
            "XADD",
            stream,
            "*",
            "m",
            text
        )
        call("PEXPIRE", stream, present.common.leaseMs)
    end
    local unread = call("HINCRBY", streams, node, #text)
    if unread <= leastStreamBytes then
        return {}
    end
    if unread <= present.common.streamBytes / call(
        "ZCARD",
        keyOf("nodes")
    ) then
        return {}
    end
    call("XTRIM", stream, "MAXLEN", 0)
    call(
        "XADD",
        stream,
        "*",
        "m",
        "gap"
    )
    call("HSET", streams, node, 0)
    return {}
end
--- A list in Redis without its first `dropped` items, followed by the items that this turn has pushed.
local RedisList = __TS__Class()
RedisList.name = "RedisList"
function RedisList.prototype.____constructor(self, key)
    self.key = key
    self.dropped = 0
    self.pushed = {}
    self.size = call("LLEN", key)
end
function RedisList.prototype.push(self, item)
    local ____self_pushed_0 = self.pushed
    ____self_pushed_0[#____self_pushed_0 + 1] = item
end
function RedisList.prototype.slice(self, from, count)
    local found = {}
    local first = self.dropped + from
    local last = math.min(first + count, self.size + #self.pushed) - 1
    if first < self.size then
        local stored = call(
            "LRANGE",
            self.key,
            first,
            math.min(last, self.size - 1)
        )
        for ____, item in ipairs(stored) do
            found[#found + 1] = ____unpack(item)
        end
    end
    do
        local at = math.max(first, self.size)
        while at <= last do
            found[#found + 1] = self.pushed[at - self.size + 1]
            at = at + 1
        end
    end
    return found
end
function RedisList.prototype.drop(self, count)
    self.dropped = self.dropped + count
end
function RedisList.prototype.replace(self, items)
    self.dropped = self.size
    self.pushed = {unpack(items)}
end
function RedisList.prototype.write(self)
    if self.dropped > 0 and self.size > 0 then
        call("LTRIM", self.key, self.dropped, -1)
    end
    do
        local at = math.max(0, self.dropped - self.size)
        while at < #self.pushed do
            call(
                "RPUSH",
                self.key,
                pack(self.pushed[at + 1])
            )
            call("PEXPIRE", self.key, present.common.keptMs)
            at = at + 1
        end
    end
end
--- Ids in a hash, and their order in a list. `seqOf` does not see the ids that this turn puts.
local RedisIds = __TS__Class()
RedisIds.name = "RedisIds"
function RedisIds.prototype.____constructor(self, key)
    self.key = key
    self.writes = {}
    self.order = __TS__New(RedisList, key .. ":order")
end
function RedisIds.prototype.seqOf(self, id)
    local seq = call("HGET", self.key, id)
    local ____temp_1
    if seq == false then
        ____temp_1 = nil
    else
        ____temp_1 = numberAt(seq)
    end
    return ____temp_1
end
function RedisIds.prototype.put(self, id, seq)
    self.order:push(id)
    local ____self_writes_2 = self.writes
    ____self_writes_2[#____self_writes_2 + 1] = function()
        call("HSET", self.key, id, seq)
        call("PEXPIRE", self.key, present.common.keptMs)
    end
end
function RedisIds.prototype.dropOldest(self)
    local oldest = self.order:slice(0, 1)[1]
    self.order:drop(1)
    local ____self_writes_3 = self.writes
    ____self_writes_3[#____self_writes_3 + 1] = function() return call("HDEL", self.key, oldest) end
    return oldest
end
function RedisIds.prototype.clear(self)
    self.order:replace({})
    local ____self_writes_4 = self.writes
    ____self_writes_4[#____self_writes_4 + 1] = function() return call("DEL", self.key) end
end
function RedisIds.prototype.write(self)
    for ____, write in ipairs(self.writes) do
        write()
    end
    self.order:write()
end
local RedisTurn = __TS__Class()
RedisTurn.name = "RedisTurn"
function RedisTurn.prototype.____constructor(self, appId, fresh)
    self.appId = appId
    self.fresh = fresh
    self.now = present.now
    self.node = present.node
    self.limits = present.common.limits
    self.told = {}
    self.drops = {}
    self.seatsOwn = false
    self.counts = {}
    self.beside = {}
    self.crowding = 0
    self.changes = false
    self.sendsFrame = false
    self.key = keyOf(("{" .. appId) .. "}")
    self.before = call("GET", self.key)
    local room, entered = unpack(
        self.before == false and ({}) or ____unpack(self.before),
        1,
        2
    )
    self.room = room
    self.entered = entered or ({nodes = {}})
end
function RedisTurn.prototype.code(self)
    if self.knownCode == nil then
        self.knownCode = self:findCode() or false
    end
    local ____temp_5
    if self.knownCode == false then
        ____temp_5 = nil
    else
        ____temp_5 = self.knownCode
    end
    return ____temp_5
end
function RedisTurn.prototype.findCode(self)
    local code = call(
        "GET",
        keyOf("room:" .. self.appId)
    )
    local text = code ~= false and call(
        "GET",
        keyOf("code:" .. code)
    )
    if text == false then
        return nil
    end
    local ____unpack_result_6 = ____unpack(text)
    local appId = ____unpack_result_6.appId
    local freeAt = ____unpack_result_6.freeAt
    local isUsed = ____unpack_result_6.isUsed
    local expiresAt = ____unpack_result_6.expiresAt
    if appId ~= self.appId or self.now >= freeAt then
        return nil
    end
    if isUsed then
        return {state = "used", expiresAt = expiresAt}
    end
    return {state = self.now < expiresAt and "live" or "expired", expiresAt = expiresAt}
end
function RedisTurn.prototype.isAlive(self, node)
    return node == self.node or ____exports.leaseOf(node) > present.real
end
function RedisTurn.prototype.counted(self, sum)
    return numberAt(call(
        "HGET",
        keyOf("sums"),
        sum
    )) + (self.counts[sum] or 0)
end
function RedisTurn.prototype.count(self, sum, amount)
    self.changes = true
    self.counts[sum] = (self.counts[sum] or 0) + amount
end
function RedisTurn.prototype.charged(self, what, account)
    return self:counted(shareName(what, account))
end
function RedisTurn.prototype.charge(self, what, accounts, amount)
    for ____, account in ipairs(accounts) do
        self:count(
            shareName(what, account),
            amount
        )
    end
end
function RedisTurn.prototype.mail(self, side)
    return self:list(":mail" .. side)
end
function RedisTurn.prototype.held(self, side)
    return self:list(":held" .. side)
end
function RedisTurn.prototype.list(self, name)
    local ____self_beside_7, ____name_8 = self.beside, name
    if ____self_beside_7[____name_8] == nil then
        ____self_beside_7[____name_8] = __TS__New(RedisList, self.key .. name)
    end
    return self.beside[name]
end
function RedisTurn.prototype.ids(self, side)
    local ____self_beside_9, ____side_10 = self.beside, side
    if ____self_beside_9[____side_10] == nil then
        ____self_beside_9[____side_10] = __TS__New(RedisIds, (self.key .. ":ids") .. side)
    end
    return self.beside[side]
end
function RedisTurn.prototype.makeSpace(self, rooms)
    self.crowding = rooms
end
function RedisTurn.prototype.tell(self, side, ____bindingPattern0, event)
    local token
    local node
    node = ____bindingPattern0.node
    token = ____bindingPattern0.token
    if event.kind ~= "frame" then
        self.changes = true
    elseif node ~= self.node then
        self.sendsFrame = true
    end
    self:send(node, {
        to = "seat",
        appId = self.appId,
        side = side,
        token = token,
        event = event
    })
end
function RedisTurn.prototype.tellWaiter(self, ____bindingPattern0, event)
    local name
    local node
    node = ____bindingPattern0.node
    name = ____bindingPattern0.name
    self.changes = true
    self:send(node, {to = "waiter", name = name, event = event})
end
function RedisTurn.prototype.send(self, node, message)
    local ____self_told_11, ____node_12 = self.told, node
    if ____self_told_11[____node_12] == nil then
        ____self_told_11[____node_12] = {}
    end
    local ____opt_13 = self.told[node]
    if ____opt_13 ~= nil then
        local ____self_told_node_14 = self.told[node]
        ____self_told_node_14[#____self_told_node_14 + 1] = message
    end
end
function RedisTurn.prototype.dropped(self, reason, count)
    self.drops[reason] = (self.drops[reason] or 0) + count
end
function RedisTurn.prototype.adds(self)
    for ____, sum in ipairs({"rooms", "mails", "heldFrames"}) do
        if (self.counts[sum] or 0) > 0 then
            return true
        end
    end
    return self.sendsFrame
end
function RedisTurn.prototype.write(self, verb)
    if self.changes or verb ~= "publish" then
        self:writeRoom()
    end
    for node in pairs(self.told) do
        if node ~= self.node then
            ____exports.post(node, self.told[node] or ({}))
        end
    end
    if self.crowding > 0 then
        self:giveWay()
    end
end
function RedisTurn.prototype.writeRoom(self)
    for name in pairs(self.beside) do
        local ____opt_16 = self.beside[name]
        if ____opt_16 ~= nil then
            ____opt_16:write()
        end
    end
    local entered = self:enter()
    if self.room ~= nil then
        local text = pack({self.room, entered})
        if text ~= self.before then
            call(
                "SET",
                self.key,
                text,
                "PX",
                present.common.keptMs
            )
        end
    elseif self.before ~= false then
        call("DEL", self.key)
    end
    local sums = keyOf("sums")
    for name in pairs(self.counts) do
        local amount = self.counts[name]
        if amount ~= 0 and call("HINCRBY", sums, name, amount) <= 0 then
            call("HDEL", sums, name)
        end
    end
end
function RedisTurn.prototype.enter(self)
    local appId = self.appId
    local room = self.room
    local entered = self.entered
    local ____temp_18
    if room == nil then
        ____temp_18 = nil
    else
        ____temp_18 = lookAt(self, room)
    end
    local due = ____temp_18
    local ____temp_19
    if room ~= nil and isBare(room) then
        ____temp_19 = room.emptyAt
    else
        ____temp_19 = nil
    end
    local bare = ____temp_19
    self:score("due", entered.due, due)
    self:score("bare", entered.bare, bare)
    local nodes = {}
    for ____, ____value in ipairs(room == nil and ({}) or ({room.A, room.B})) do
        local seat = ____value.seat
        if seat ~= nil and not __TS__ArrayIncludes(nodes, seat.node) then
            nodes[#nodes + 1] = seat.node
        end
    end
    for ____, node in ipairs(entered.nodes) do
        if not __TS__ArrayIncludes(nodes, node) then
            call(
                "SREM",
                keyOf("seats:" .. node),
                appId
            )
        end
    end
    for ____, node in ipairs(nodes) do
        do
            local __continue78
            repeat
                if __TS__ArrayIncludes(entered.nodes, node) then
                    __continue78 = true
                    break
                end
                call(
                    "SADD",
                    keyOf("seats:" .. node),
                    appId
                )
                if node == self.node then
                    self.seatsOwn = true
                end
                __continue78 = true
            until true
            if not __continue78 then
                break
            end
        end
    end
    return {due = due, bare = bare, nodes = nodes}
end
function RedisTurn.prototype.score(self, name, before, after)
    if after == before then
        return
    end
    if after == nil then
        call(
            "ZREM",
            keyOf(name),
            self.appId
        )
    else
        call(
            "ZADD",
            keyOf(name),
            after,
            self.appId
        )
    end
end
function RedisTurn.prototype.giveWay(self)
    for ____, appId in ipairs(call(
        "ZRANGE",
        keyOf("bare"),
        0,
        self.crowding - 1
    )) do
        if appId == "" then
            return
        end
        local turn = __TS__New(RedisTurn, appId, self.fresh)
        run(turn, "giveWay", nil)
        turn:write("giveWay")
        for reason in pairs(turn.drops) do
            self:dropped(reason, turn.drops[reason])
        end
    end
end
leastStreamBytes = 4194304
--- The seats of a room whose connections are on a node.
function ____exports.seatsOf(appId, node)
    local text = call(
        "GET",
        keyOf(("{" .. appId) .. "}")
    )
    local found = {}
    if text == false then
        return found
    end
    local room = unpack(
        ____unpack(text),
        1,
        1
    )
    for ____, side in ipairs(sides) do
        local ____room_side_20 = room[side]
        local seat = ____room_side_20.seat
        if (seat and seat.node) == node then
            found[#found + 1] = {appId = appId, side = side, token = seat.token}
        end
    end
    return found
end
--- Runs a verb as a turn at a room. Undefined when Redis is full and the verb would add data.
function ____exports.runTurn(appId, ____bindingPattern0)
    local fresh
    local args
    local holder
    local verb
    verb = ____bindingPattern0.verb
    holder = ____bindingPattern0.holder
    args = ____bindingPattern0.args
    fresh = ____bindingPattern0.fresh
    local turn = __TS__New(RedisTurn, appId, fresh)
    local answer = run(
        turn,
        verb,
        holder,
        args[1],
        args[2]
    )
    if present.isFull and turn:adds() then
        return nil
    end
    turn:write(verb)
    local ____present_23 = present
    local node = ____present_23.node
    local real = ____present_23.real
    local common = ____present_23.common
    local hasNoLease = turn.seatsOwn and ____exports.leaseOf(node) <= real
    if hasNoLease then
        call(
            "ZADD",
            keyOf("nodes"),
            real + common.leaseMs,
            node
        )
    end
    return {answer = answer, here = turn.told[node], drops = turn.drops, hasNoLease = hasNoLease}
end
return ____exports
 end,
["src.engine.redis.inside.codes"] = function(...) 
local ____lualib = require("lualib_bundle")
local __TS__Class = ____lualib.__TS__Class
local __TS__New = ____lualib.__TS__New
local __TS__ObjectAssign = ____lualib.__TS__ObjectAssign
local ____exports = {}
local ____codes_2Ets = require("src.engine.rules.codes")
local claim = ____codes_2Ets.claim
local guess = ____codes_2Ets.guess
local recentMisses = ____codes_2Ets.recentMisses
local ____lua_2Ets = require("./lua.ts")
local call = ____lua_2Ets.call
local format = ____lua_2Ets.format
local pack = ____lua_2Ets.pack
local parse = ____lua_2Ets.parse
local ____unpack = ____lua_2Ets.unpack
local ____present_2Ets = require("src.engine.redis.inside.present")
local json = ____present_2Ets.json
local keyOf = ____present_2Ets.keyOf
local numberAt = ____present_2Ets.numberAt
local present = ____present_2Ets.present
local ____turn_2Ets = require("src.engine.redis.inside.turn")
local runTurn = ____turn_2Ets.runTurn
--- Redis deletes a key this long after its data has expired.
local collectedAfterMs = 60000
--- How many members of a set have not expired. The score of a member is when it expires.
local function countIn(set)
    return call(
        "ZCOUNT",
        keyOf(set),
        "(" .. format("%.0f", present.now),
        "(+inf"
    )
end
--- Deletes the expired members of a set. It may run at any time: `countIn` ignores them.
local function collect(set)
    call(
        "ZREMRANGEBYSCORE",
        keyOf(set),
        "-inf",
        present.now
    )
end
local function addTo(set, member, till)
    call(
        "ZADD",
        keyOf(set),
        till,
        member
    )
end
local function keep(name, record, till)
    call(
        "SET",
        keyOf(name),
        pack(record),
        "PX",
        till - present.now + collectedAfterMs
    )
end
local function kept(name)
    local text = call(
        "GET",
        keyOf(name)
    )
    local ____temp_0
    if text == false then
        ____temp_0 = nil
    else
        ____temp_0 = ____unpack(text)
    end
    return ____temp_0
end
function ____exports.noMisses()
    return {window = 0, current = 0, previous = 0, byDigits = {}}
end
local RedisCodes = __TS__Class()
RedisCodes.name = "RedisCodes"
function RedisCodes.prototype.____constructor(self)
    self.now = present.now
    self.windowMs = present.common.limits.redeemWindowMs
    self.writes = {}
end
function RedisCodes.prototype.code(self, code)
    local record = kept("code:" .. code)
    return record ~= nil and self.now < record.freeAt and record or nil
end
function RedisCodes.prototype.claimed(self, record)
    local ____self_writes_1 = self.writes
    ____self_writes_1[#____self_writes_1 + 1] = function()
        addTo("live", record.code, record.expiresAt)
        self:rest(record)
    end
end
function RedisCodes.prototype.taken(self, record)
    local ____self_writes_2 = self.writes
    ____self_writes_2[#____self_writes_2 + 1] = function()
        call(
            "ZREM",
            keyOf("live"),
            record.code
        )
        self:rest(record)
    end
end
function RedisCodes.prototype.rest(self, record)
    local ____record_3 = record
    local code = ____record_3.code
    local appId = ____record_3.appId
    local accounts = ____record_3.accounts
    local freeAt = ____record_3.freeAt
    addTo("used", code, freeAt)
    for ____, ____value in ipairs(accounts) do
        local key = ____value.key
        local held = "held:" .. key
        collect(held)
        addTo(held, code, freeAt)
        local last = call(
            "ZRANGE",
            keyOf(held),
            -1,
            -1,
            "WITHSCORES"
        )
        local ____end = numberAt(last[2])
        call(
            "PEXPIRE",
            keyOf(held),
            ____end - self.now + collectedAfterMs
        )
        addTo("clients", key, ____end)
    end
    keep("code:" .. code, record, freeAt)
    call(
        "SET",
        keyOf("room:" .. appId),
        code,
        "PX",
        freeAt - self.now + collectedAfterMs
    )
end
function RedisCodes.prototype.live(self)
    return countIn("live")
end
function RedisCodes.prototype.inUse(self)
    return countIn("used")
end
function RedisCodes.prototype.heldBy(self, account)
    return countIn("held:" .. account)
end
function RedisCodes.prototype.firstFree(self, account)
    local from, till = "(" .. format("%.0f", self.now), "+inf"
    local held = keyOf("held:" .. account)
    local first = call(
        "ZRANGEBYSCORE",
        held,
        from,
        till,
        "WITHSCORES",
        "LIMIT",
        0,
        1
    )
    return numberAt(first[2])
end
function RedisCodes.prototype.misses(self)
    if self.knownMisses == nil then
        self.knownMisses = kept("misses") or ____exports.noMisses()
    end
    return self.knownMisses
end
function RedisCodes.prototype.setMisses(self, misses)
    self.knownMisses = misses
    local ____self_writes_4 = self.writes
    ____self_writes_4[#____self_writes_4 + 1] = function() return call(
        "SET",
        keyOf("misses"),
        pack(misses),
        "KEEPTTL"
    ) end
end
function RedisCodes.prototype.guesser(self, account)
    local guesser = kept("guesser:" .. account)
    return guesser ~= nil and self.now < guesser.forgetAt and guesser or nil
end
function RedisCodes.prototype.guessers(self)
    return countIn("guessers")
end
function RedisCodes.prototype.setGuesser(self, account, guesser)
    local ____self_writes_5 = self.writes
    ____self_writes_5[#____self_writes_5 + 1] = function()
        addTo("guessers", account, guesser.forgetAt)
        keep("guesser:" .. account, guesser, guesser.forgetAt)
    end
end
function RedisCodes.prototype.write(self)
    for ____, write in ipairs(self.writes) do
        write()
    end
end
--- Carries an operation out at most once: a repeated call, after a lost answer, gets the first answer.
-- Undefined when Redis is full and the operation would add data.
local function once(operation, step)
    local key = keyOf("operation:" .. operation)
    local done = call("GET", key)
    if done ~= false then
        return parse(done)
    end
    local codes = __TS__New(RedisCodes)
    local answer = step(codes)
    local outcome = answer.outcome
    if present.isFull and outcome == "claimed" then
        return nil
    end
    codes:write()
    local reply = {
        answer = answer,
        recent = recentMisses(codes)
    }
    if outcome == "claimed" or outcome == "taken" then
        call(
            "SET",
            key,
            json(reply),
            "PX",
            present.common.rememberedMs
        )
    end
    return reply
end
function ____exports.runClaim(operation, request)
    local ____parse_result_6 = parse(request)
    local candidates = ____parse_result_6.candidates
    local entry = ____parse_result_6.entry
    local limits = ____parse_result_6.limits
    return once(
        operation,
        function(codes) return claim(codes, candidates, entry, limits) end
    )
end
function ____exports.runGuess(operation, request)
    local ____parse_result_7 = parse(request)
    local code = ____parse_result_7.code
    local accounts = ____parse_result_7.accounts
    local maxMisses = ____parse_result_7.maxMisses
    local reply = once(
        operation,
        function(codes) return guess(codes, code, accounts, maxMisses) end
    )
    if (reply and reply.answer.outcome) ~= "taken" then
        return reply
    end
    local ____reply_answer_entry_10 = reply.answer.entry
    local appId = ____reply_answer_entry_10.appId
    if call(
        "EXISTS",
        keyOf(("{" .. appId) .. "}")
    ) == 0 then
        return reply
    end
    return __TS__ObjectAssign(
        {},
        reply,
        {turn = runTurn(appId, {verb = "redeem", args = {}, fresh = 0})}
    )
end
--- Sizes over all nodes. Deletes expired entries.
function ____exports.codeSizes()
    for ____, set in ipairs({"live", "used", "clients", "guessers"}) do
        collect(set)
    end
    local codesLive = countIn("live")
    local codesResting = countIn("used") - codesLive
    return {
        codesLive = codesLive,
        codesResting = codesResting,
        codeClients = countIn("clients"),
        guessers = countIn("guessers")
    }
end
function ____exports.recentMissesNow()
    return recentMisses(__TS__New(RedisCodes))
end
return ____exports
 end,
["src.engine.redis.inside.inside"] = function(...) 
local ____lualib = require("lualib_bundle")
local __TS__ArrayIndexOf = ____lualib.__TS__ArrayIndexOf
local __TS__SparseArrayNew = ____lualib.__TS__SparseArrayNew
local __TS__SparseArrayPush = ____lualib.__TS__SparseArrayPush
local __TS__SparseArraySpread = ____lualib.__TS__SparseArraySpread
local __TS__ObjectAssign = ____lualib.__TS__ObjectAssign
local __TS__ArraySlice = ____lualib.__TS__ArraySlice
local ____exports = {}
local isBefore, msOf, seqOf, streamBytes, sortedSets
local ____turn_2Ets = require("src.engine.rules.turn")
local sums = ____turn_2Ets.sums
local ____codes_2Ets = require("src.engine.redis.inside.codes")
local codeSizes = ____codes_2Ets.codeSizes
local noMisses = ____codes_2Ets.noMisses
local recentMissesNow = ____codes_2Ets.recentMissesNow
local runClaim = ____codes_2Ets.runClaim
local runGuess = ____codes_2Ets.runGuess
local ____lua_2Ets = require("./lua.ts")
local call = ____lua_2Ets.call
local format = ____lua_2Ets.format
local match = ____lua_2Ets.match
local number = ____lua_2Ets.number
local pack = ____lua_2Ets.pack
local parse = ____lua_2Ets.parse
local ____present_2Ets = require("src.engine.redis.inside.present")
local begin = ____present_2Ets.begin
local json = ____present_2Ets.json
local keyOf = ____present_2Ets.keyOf
local numberAt = ____present_2Ets.numberAt
local present = ____present_2Ets.present
local ____turn_2Ets = require("src.engine.redis.inside.turn")
local leaseOf = ____turn_2Ets.leaseOf
local post = ____turn_2Ets.post
local runTurn = ____turn_2Ets.runTurn
local seatsOf = ____turn_2Ets.seatsOf
function isBefore(one, other)
    local ms, otherMs = msOf(one), msOf(other)
    return ms < otherMs or ms == otherMs and seqOf(one) < seqOf(other)
end
function msOf(id)
    return number(match(id, "^%d+")) or 0
end
function seqOf(id)
    return number(match(id, "%d+$")) or 0
end
function streamBytes()
    local streams = call(
        "HGETALL",
        keyOf("streams")
    )
    local sum = 0
    do
        local i = 0
        while i < #streams do
            do
                local __continue45
                repeat
                    local node = streams[i + 1]
                    if node == "" then
                        __continue45 = true
                        break
                    end
                    if call(
                        "EXISTS",
                        keyOf("node:" .. node)
                    ) == 1 then
                        sum = sum + math.max(
                            0,
                            numberAt(streams[i + 1 + 1])
                        )
                    else
                        call(
                            "HDEL",
                            keyOf("streams"),
                            node
                        )
                    end
                    __continue45 = true
                until true
                if not __continue45 then
                    break
                end
            end
            i = i + 2
        end
    end
    return sum
end
--- This node's stream. New ids are above `read`, the last id that the node has read; "": none yet.
local function ownStream(read)
    local stream = keyOf("node:" .. present.node)
    if call("EXISTS", stream) == 0 then
        call(
            "HSET",
            keyOf("streams"),
            present.node,
            0
        )
        local id = read == "" and "*" or read
        return {
            last = call(
                "XADD",
                stream,
                "MAXLEN",
                0,
                id,
                "m",
                ""
            ),
            isMoved = true
        }
    end
    local facts = call("XINFO", "STREAM", stream)
    local last = facts[__TS__ArrayIndexOf(facts, "last-generated-id") + 1 + 1]
    if read == "" or not isBefore(last, read) then
        return {last = last, isMoved = false}
    end
    call("XSETID", stream, read)
    return {last = read, isMoved = true}
end
--- Deletes the entries that the node has read: those up to `read`, `bytes` in total.
local function trim(read, bytes)
    if read == "" then
        return
    end
    local stream = keyOf("node:" .. present.node)
    call(
        "XTRIM",
        stream,
        "MINID",
        format(
            "%.0f-%.0f",
            msOf(read),
            seqOf(read) + 1
        )
    )
    if call("XLEN", stream) == 0 then
        call(
            "HSET",
            keyOf("streams"),
            present.node,
            0
        )
    else
        call(
            "HINCRBY",
            keyOf("streams"),
            present.node,
            0 - bytes
        )
    end
end
local function forgetNode(node)
    call(
        "ZREM",
        keyOf("nodes"),
        node
    )
    call(
        "HDEL",
        keyOf("streams"),
        node
    )
    call(
        "DEL",
        keyOf("node:" .. node),
        keyOf("seats:" .. node)
    )
    return {}
end
--- Ends a node's lease. Other nodes then free the seats that it could not give up.
local function leave()
    local ____present_0 = present
    local node = ____present_0.node
    local real = ____present_0.real
    if call(
        "SCARD",
        keyOf("seats:" .. node)
    ) <= 1 then
        return forgetNode(node)
    end
    call(
        "ZADD",
        keyOf("nodes"),
        real,
        node
    )
    return {}
end
--- Some rooms with seats of nodes that are gone. A gone node without seats is forgotten.
local function roomsOfTheGone()
    local rooms = {}
    local gone = call(
        "ZRANGEBYSCORE",
        keyOf("nodes"),
        "-inf",
        present.real,
        "LIMIT",
        0,
        8
    )
    for ____, node in ipairs(gone) do
        call(
            "SREM",
            keyOf("seats:" .. node),
            ""
        )
        local some = call(
            "SRANDMEMBER",
            keyOf("seats:" .. node),
            100
        )
        for ____, appId in ipairs(some) do
            if call(
                "EXISTS",
                keyOf(("{" .. appId) .. "}")
            ) == 1 then
                rooms[#rooms + 1] = appId
            else
                call(
                    "SREM",
                    keyOf("seats:" .. node),
                    appId
                )
            end
        end
        if #some == 0 then
            forgetNode(node)
        end
    end
    return rooms
end
--- Renews the expiry of keys about all rooms and nodes. They live half as long as rooms: totals that outlive
-- the rooms they count would stay too high forever. Each key gets an empty member, so that it exists
-- before its first use.
local function keepShared()
    local ____present_1 = present
    local node = ____present_1.node
    local common = ____present_1.common
    for ____, name in ipairs({"sums", "streams"}) do
        call(
            "HSETNX",
            keyOf(name),
            "",
            0
        )
    end
    for ____, name in ipairs(sortedSets) do
        call(
            "ZADD",
            keyOf(name),
            "+inf",
            ""
        )
    end
    call(
        "SADD",
        keyOf("seats:" .. node),
        ""
    )
    call(
        "SET",
        keyOf("misses"),
        pack(noMisses()),
        "NX"
    )
    local others = {
        "sums",
        "streams",
        "misses",
        "nodes",
        "seats:" .. node,
        "node:" .. node
    }
    local ____array_2 = __TS__SparseArrayNew(unpack(sortedSets))
    __TS__SparseArrayPush(
        ____array_2,
        unpack(others)
    )
    for ____, name in ipairs({__TS__SparseArraySpread(____array_2)}) do
        call(
            "PEXPIRE",
            keyOf(name),
            common.keptMs / 2
        )
    end
end
--- Sorted sets about rooms and codes.
sortedSets = {
    "due",
    "bare",
    "live",
    "used",
    "clients",
    "guessers"
}
--- The highest `fresh` number that any node has used. No node may use a lower one.
local function highest(fresh)
    local known = numberAt(call(
        "GET",
        keyOf("fresh")
    ))
    if fresh > known then
        call(
            "SET",
            keyOf("fresh"),
            fresh,
            "PX",
            present.common.keptMs
        )
    end
    return math.max(fresh, known)
end
local partsOfRooms = {
    "",
    ":mailA",
    ":mailB",
    ":idsA",
    ":idsB",
    ":idsA:order",
    ":idsB:order"
}
--- Renews the lease of a node and the expiry of keys in use. Each call covers a few of the node's rooms, from
-- `cursor` on.
local function renew(read, bytes, cursor, fresh)
    local ____present_3 = present
    local node = ____present_3.node
    local real = ____present_3.real
    local common = ____present_3.common
    local wasAlive = leaseOf(node) > real
    call(
        "ZADD",
        keyOf("nodes"),
        real + common.leaseMs,
        node
    )
    local ____ownStream_result_4 = ownStream(read)
    local last = ____ownStream_result_4.last
    local isMoved = ____ownStream_result_4.isMoved
    trim(read, bytes)
    local seatsKey = keyOf("seats:" .. node)
    local next, rooms = unpack(
        call(
            "SSCAN",
            seatsKey,
            cursor,
            "COUNT",
            50
        ),
        1,
        2
    )
    local seats = {}
    for ____, appId in ipairs(rooms) do
        do
            local __continue33
            repeat
                if appId == "" then
                    __continue33 = true
                    break
                end
                for ____, part in ipairs(partsOfRooms) do
                    call(
                        "PEXPIRE",
                        keyOf((("{" .. appId) .. "}") .. part),
                        common.keptMs
                    )
                end
                for ____, seat in ipairs(seatsOf(appId, node)) do
                    seats[#seats + 1] = seat
                end
                __continue33 = true
            until true
            if not __continue33 then
                break
            end
        end
    end
    keepShared()
    local wentOn = wasAlive and not isMoved
    local known = {
        fresh = highest(fresh),
        seats = seats,
        gone = roomsOfTheGone()
    }
    return __TS__ObjectAssign({}, known, {from = last, wentOn = wentOn, cursor = next})
end
--- Sizes over all nodes, and rooms that are due. Trims the node's stream, as `renew` does.
local function sweep(read, bytes)
    trim(read, bytes)
    local sizes = __TS__ObjectAssign(
        {},
        codeSizes(),
        {streamBytes = streamBytes()}
    )
    local found = call(
        "HMGET",
        keyOf("sums"),
        unpack(sums)
    )
    do
        local i = 0
        while i < #sums do
            sizes[sums[i + 1]] = numberAt(found[i + 1])
            i = i + 1
        end
    end
    local due = call(
        "ZRANGEBYSCORE",
        keyOf("due"),
        "-inf",
        present.now,
        "LIMIT",
        0,
        200
    )
    return {
        sizes = sizes,
        recentMisses = recentMissesNow(),
        due = due
    }
end
--- The kinds of calls. Each returns undefined when Redis is full and the call would add data.
local calls = {
    turn = function(appId, asked) return runTurn(
        appId,
        parse(asked)
    ) end,
    claim = runClaim,
    guess = runGuess,
    post = function(node, messages) return post(
        node,
        parse(messages)
    ) end,
    renew = function(read, bytes, cursor, fresh) return renew(
        read,
        numberAt(bytes),
        cursor,
        numberAt(fresh)
    ) end,
    leave = leave,
    sweep = function(read, bytes) return sweep(
        read,
        numberAt(bytes)
    ) end
}
--- Answers a call with JSON; with `late` after its deadline; with `full` if Redis is full and the call would
-- add data. `late` and `full` change nothing. `args`: the deadline by Redis's clock, ms by which contract
-- tests move the clock, `Common` as JSON, the asking node, the kind of call, and its own arguments.
function ____exports.called(isFull, args)
    local ____args_5 = args
    local deadline = ____args_5[1]
    if deadline == nil then
        deadline = ""
    end
    local offset = ____args_5[2]
    if offset == nil then
        offset = ""
    end
    local common = ____args_5[3]
    if common == nil then
        common = ""
    end
    local node = ____args_5[4]
    if node == nil then
        node = ""
    end
    local kind = ____args_5[5]
    if kind == nil then
        kind = ""
    end
    local rest = __TS__ArraySlice(____args_5, 5)
    if not begin(deadline, offset, common, node) then
        return "late"
    end
    present.isFull = isFull
    local run = calls[kind]
    local reply = run(unpack(rest))
    return reply == nil and "full" or json(reply)
end
return ____exports
 end,
}
local ____entry = require("src.engine.redis.inside.inside", ...)
return ____entry
