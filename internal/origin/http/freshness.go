package http

import (
	nethttp "net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pquerna/cachecontrol/cacheobject"
)

// freshness reads what a response's headers say to a shared cache: whether it
// may store the answer, and for how long (RFC 9111 sections 3, 4.2.1 and
// 4.2.3). 0 means that the server left it to the cache.
func freshness(h nethttp.Header, now time.Time) (ttl time.Duration, store bool) {
	for _, v := range h.Values("Vary") {
		if strings.TrimSpace(v) == "*" {
			return 0, false
		}
	}
	cc, err := cacheobject.ParseResponseCacheControl(strings.Join(h.Values("Cache-Control"), ", "))
	if err != nil {
		// Directives that can't be read may forbid anything.
		return 0, false
	}
	if cc.NoStore || cc.PrivatePresent || cc.NoCachePresent {
		return 0, false
	}
	age := time.Duration(0)
	if s, err := strconv.ParseUint(h.Get("Age"), 10, 31); err == nil {
		age = time.Duration(s) * time.Second
	}
	life := time.Duration(0)
	switch {
	case cc.SMaxAge >= 0: // absent: -1
		life = time.Duration(cc.SMaxAge) * time.Second
	case cc.MaxAge >= 0:
		life = time.Duration(cc.MaxAge) * time.Second
	case h.Get("Expires") != "":
		expires, err := nethttp.ParseTime(h.Get("Expires"))
		if err != nil {
			return 0, false // "0" and the like mean: already expired
		}
		date := now
		if d, err := nethttp.ParseTime(h.Get("Date")); err == nil {
			date = d // the server's own clock, whatever ours says
		}
		life = expires.Sub(date)
	default:
		return 0, true
	}
	if life <= age {
		return 0, false // stale on arrival
	}
	return life - age, true
}

// tags reads the tags of an answer: Surrogate-Key names them between spaces,
// Cache-Tag between commas.
func tags(h nethttp.Header) []string {
	var out []string
	for _, v := range h.Values("Surrogate-Key") {
		out = append(out, strings.Fields(v)...)
	}
	for _, v := range h.Values("Cache-Tag") {
		for t := range strings.SplitSeq(v, ",") {
			if t = strings.TrimSpace(t); t != "" {
				out = append(out, t)
			}
		}
	}
	return out
}
