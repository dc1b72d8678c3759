package copies

import (
	"reflect"
	"testing"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
)

func TestMessagesRoundTrip(t *testing.T) {
	s := node.Shipment{
		Partition: 3, Epoch: 1 << 63, At: 42, Digest: events.Digest{9, 8},
		Entries: []tiers.Entry{tiers.Entry("one"), tiers.Entry("two")},
	}
	got, err := decodeShipment(append(appendShipment(nil, s), "a later version's field"...))
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("got %+v, %v", got, err)
	}
	keys := []string{"a", "b:c"}
	partition, asked, err := decodeQuestion(appendQuestion(nil, 7, keys))
	if err != nil || partition != 7 || !reflect.DeepEqual(asked, keys) {
		t.Errorf("got %d %q, %v", partition, asked, err)
	}
}

func TestMessagesThatLie(t *testing.T) {
	whole := appendShipment(nil, node.Shipment{Entries: []tiers.Entry{tiers.Entry("one")}})
	for n := range whole {
		if s, err := decodeShipment(whole[:n]); err == nil {
			t.Errorf("the first %d bytes are %+v", n, s)
		}
	}
	question := appendQuestion(nil, 1, []string{"k"})
	for n := range question {
		if _, keys, err := decodeQuestion(question[:n]); err == nil {
			t.Errorf("the first %d bytes ask for %q", n, keys)
		}
	}
	if _, _, err := decodeQuestion(appendQuestion(nil, 1, make([]string, maxKeys+1))); err == nil {
		t.Error("too many keys are taken")
	}
	later := append([]byte{version + 1}, whole[1:]...)
	if _, err := decodeShipment(later); err == nil {
		t.Error("a later version is taken")
	}
}

// Nothing that anybody may send takes more memory than it is long, or ends the
// process.
func FuzzDecode(f *testing.F) {
	f.Add(appendShipment(nil, node.Shipment{Partition: 1, Entries: []tiers.Entry{tiers.Entry("x")}}))
	f.Add(appendQuestion(nil, 1, []string{"k"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeShipment(b); err == nil && len(s.Entries) > len(b) {
			t.Errorf("%d entries of %d bytes", len(s.Entries), len(b))
		}
		if _, keys, err := decodeQuestion(b); err == nil && len(keys) > len(b) {
			t.Errorf("%d keys of %d bytes", len(keys), len(b))
		}
	})
}

func TestToken(t *testing.T) {
	for id, want := range map[events.NodeID]string{
		"node-1_A": "node-1_A", "host.example": "host=2eexample", "*": "=2a", "a>b c": "a=3eb=20c", "=2a": "=3d2a", "ü": "=c3=bc",
	} {
		if got := Token(id); got != want {
			t.Errorf("%q: %q, want %q", id, got, want)
		}
	}
}
