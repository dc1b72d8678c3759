package fleet

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/toxics"
)

// lossToxic is packet loss as those see it who speak TCP: nothing is missing,
// but a segment that was lost is a retransmission timeout late, twice that if
// it is lost again, and what was sent after it waits.
type lossToxic struct {
	Share float64 `json:"share"`
}

// retransmission is the least timeout of Linux.
const retransmission = 200 * time.Millisecond

var _ toxics.Toxic = (*lossToxic)(nil)

// Pipe implements toxics.Toxic.
func (t *lossToxic) Pipe(stub *toxics.ToxicStub) {
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil {
				stub.Close()
				return
			}
			var late time.Duration
			for wait := retransmission; wait < 4*time.Second && rand.Float64() < t.Share; wait *= 2 {
				late += wait
			}
			if late > 0 {
				select {
				case <-time.After(late):
				case <-stub.Interrupt:
					stub.Output <- c // a proxy delivers what it has taken
					return
				}
			}
			stub.Output <- c
		}
	}
}

var registerLoss = sync.OnceFunc(func() { toxics.Register("loss", new(lossToxic)) })

func removeToxic(p *toxiproxy.Proxy, name string) error {
	return p.Toxics.RemoveToxic(context.Background(), name)
}
