-- Whatever an MTA knows and offers, the message is taken, and tagged if that is possible.
dofile(folder .. "/lib.lua")

local function take(version, actions, steps, can_tag)
    local what = string.format("version %d, %x, %x", version, actions, steps)
    local conn = offered(version, actions, steps)
    client(conn)
    for _ = 1, 2 do
        envelope(conn, "A1", "<anna@example.org>", "<support@shop.example>")
        if version >= 4 then
            done("data", mt.data(conn))
            said(conn, "data", "continue")
        end
        content(conn, "hello")
        said(conn, what, "accept")
        holds(what .. ": tag", tagged(conn) == can_tag)
        done("abort", mt.abort(conn))
    end
    done("disconnect", mt.disconnect(conn))
end

for version = 2, 7 do
    take(version, 0x3f, 0x7f, true)
end
take(6, ACTIONS, STEPS, true)
take(6, ACTIONS, 0, true)
take(6, ACTIONS, 0x80, true)
take(6, 0, STEPS, false)
take(6, 0x001, STEPS, false)
take(6, 0x010, STEPS, false)
take(6, 0x0ff, STEPS, true)
for bit = 0, 20 do
    take(6, ACTIONS, STEPS - 2 ^ bit, true)
end

for version = 0, 1 do
    local conn = mt.connect(socket)
    holds("version " .. version, mt.negotiate(conn, version, 0x0f, 0x3f) ~= nil)
end
