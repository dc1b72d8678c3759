package resp

import (
	"strconv"

	"github.com/tidwall/redcon"
)

// replies gathers what a connection is sent. proto is 2 or 3.
type replies struct {
	b     []byte
	proto int
}

func (r *replies) ok()             { r.b = redcon.AppendOK(r.b) }
func (r *replies) status(s string) { r.b = redcon.AppendString(r.b, s) }
func (r *replies) bulk(b []byte)   { r.b = redcon.AppendBulk(r.b, b) }
func (r *replies) text(s string)   { r.b = redcon.AppendBulkString(r.b, s) }
func (r *replies) int(n int64)     { r.b = redcon.AppendInt(r.b, n) }
func (r *replies) array(n int)     { r.b = redcon.AppendArray(r.b, n) }

// fail writes an error. line begins with its code: "ERR …".
func (r *replies) fail(line string) { r.b = redcon.AppendError(r.b, line) }

func (r *replies) null() {
	if r.proto == 3 {
		r.b = append(r.b, "_\r\n"...)
		return
	}
	r.b = redcon.AppendNull(r.b)
}

// dict begins a map of n pairs: to RESP2 a list of 2n.
func (r *replies) dict(n int) {
	if r.proto == 3 {
		r.header('%', n)
		return
	}
	r.array(2 * n)
}

// set begins a set of n members: to RESP2 a list.
func (r *replies) set(n int) {
	if r.proto == 3 {
		r.header('~', n)
		return
	}
	r.array(n)
}

// verbatim writes a text for people: to RESP2 a bulk.
func (r *replies) verbatim(s string) {
	if r.proto == 3 {
		r.header('=', len(s)+4)
		r.b = append(append(append(r.b, "txt:"...), s...), '\r', '\n')
		return
	}
	r.text(s)
}

func (r *replies) header(kind byte, n int) {
	r.b = append(strconv.AppendInt(append(r.b, kind), int64(n), 10), '\r', '\n')
}
