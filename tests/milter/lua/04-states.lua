-- Whatever ends a message early, the next one is as on a fresh connection.
dofile(folder .. "/lib.lua")

local conn = offered(6, ACTIONS, STEPS)
client(conn)
done("abort", mt.abort(conn))
done("abort", mt.abort(conn))

local stages = {
    function() end,
    function() done("rcpt", mt.rcptto(conn, "<other@example.net>")) end,
    function() done("rcpt", mt.rcptto(conn, "<support@shop.example>")) end,
    function() done("data", mt.data(conn)) end,
    function() field(conn, "Subject", "reject") end,
    function() done("eoh", mt.eoh(conn)) end,
    function() done("body", mt.bodystring(conn, "never\r\n")) end,
}
for stop = 1, #stages do
    done("mail", mt.mailfrom(conn, "<eve@example.org>"))
    for stage = 1, stop do
        stages[stage]()
    end
    done("abort", mt.abort(conn))
    if stop % 2 == 0 then
        done("helo", mt.helo(conn, "again.example"))
    end
    envelope(conn, "A" .. stop, "<anna@example.org>", "<sales@shop.example>")
    done("data", mt.data(conn))
    content(conn, "hello")
    said(conn, "stage " .. stop, "accept")
    done("abort", mt.abort(conn))
end

-- A second sender without an abort, and an unknown command in between.
done("mail", mt.mailfrom(conn, "<eve@example.org>"))
done("rcpt", mt.rcptto(conn, "<other@example.net>"))
envelope(conn, "B1", "<anna@example.org>", "<sales@shop.example>")
done("data", mt.data(conn))
content(conn, "hello")
said(conn, "second sender", "accept")
done("disconnect", mt.disconnect(conn))

-- Gone at each stage without a word.
for stop = 1, #stages do
    conn = offered(6, ACTIONS, STEPS)
    client(conn)
    done("mail", mt.mailfrom(conn, "<eve@example.org>"))
    for stage = 1, stop do
        stages[stage]()
    end
    done("disconnect", mt.disconnect(conn, false))
end
