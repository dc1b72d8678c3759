package disk

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The order is that of the keys, whatever they have in common and wherever they
// end, and of one key's rows the last is the latest.
func TestInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.SampledFrom([]string{"", "k", "user:profile:1"}).Draw(t, "prefix")
		tails := rapid.SliceOf(rapid.StringOfN(rapid.RuneFrom([]rune("\x00ab")), 0, 12, -1)).Draw(t, "tails")
		var rows []rowChange
		var expected []int32
		for i, tail := range tails {
			rows = append(rows, rowChange{key: prefix + tail})
			expected = append(expected, int32(i))
		}
		slices.SortStableFunc(expected, func(a, b int32) int { return strings.Compare(rows[a].key, rows[b].key) })
		var got []int32
		for _, o := range inOrder(nil, rows) {
			got = append(got, o.row)
		}
		if !slices.Equal(got, expected) {
			t.Fatalf("%v of %q, want %v", got, tails, expected)
		}
	})
}
