-- Each answer belongs to its message, on one connection: taken, discarded, refused, released.
dofile(folder .. "/lib.lua")

local conn = offered(6, ACTIONS, STEPS)
client(conn)
for round = 1, 25 do
    envelope(conn, "A" .. round, "<anna@example.org>", "<support@shop.example>")
    done("data", mt.data(conn))
    content(conn, "hello")
    said(conn, "eom", "accept")
    holds("no tag", tagged(conn))
    done("abort", mt.abort(conn))

    envelope(conn, "B" .. round, "<>", "<support@shop.example>")
    done("data", mt.data(conn))
    content(conn, "discard")
    said(conn, "eom", "discard")
    holds("an edit of what is discarded", not mt.eom_check(conn, MT_HDRINSERT))
    done("abort", mt.abort(conn))

    envelope(conn, "C" .. round, "anna@example.org", "support@shop.example")
    done("rcpt", mt.rcptto(conn, "<nobody@shop.example>"))
    said(conn, "unknown rcpt", "reply")
    done("data", mt.data(conn))
    content(conn, "reject")
    said(conn, "eom", "reply")
    holds("not 554", mt.eom_check(conn, MT_SMTPREPLY, "554", "5.6.0", "No"))
    done("abort", mt.abort(conn))

    envelope(conn, "D" .. round, "", "<other@example.net>")
    done("data", mt.data(conn))
    said(conn, "data", "accept")
    done("abort", mt.abort(conn))
end
done("disconnect", mt.disconnect(conn))
