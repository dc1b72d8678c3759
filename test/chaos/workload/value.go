package workload

import (
	"fmt"
	"strconv"
	"strings"
)

// encode writes a value so that it says itself what it is: its number, its key,
// and a filler of up to two KiB that follows from both.
func encode(key string, value int64) []byte {
	return fmt.Appendf(nil, "%d %s %s", value, key, filler(value))
}

func filler(value int64) string {
	word := strconv.FormatInt(value, 36) + "."
	return strings.Repeat(word, int(value*37%2000)/len(word))
}

// decode returns the value, and what is wrong with it: what came must be what
// was once written for the key, to the last byte.
func decode(key string, b []byte) (value int64, strange string) {
	number, rest, _ := strings.Cut(string(b), " ")
	value, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0, fmt.Sprintf("%.40q is no value", b)
	}
	if value == 0 { // a row that was never written
		if string(b) != string(encode(key, 0)) {
			return 0, fmt.Sprintf("%.40q is no value of %s", b, key)
		}
		return 0, ""
	}
	if rest != key+" "+filler(value) {
		return value, fmt.Sprintf("%.60q is no value of %s", b, key)
	}
	return value, ""
}
