package trial

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestRunByHand(t *testing.T) {
	s, err := Run(context.Background(), Options{Duration: 22 * time.Second, JSON: true, Input: os.Getenv("INPUT")}, os.Stdout)
	_ = s
	_ = strings.Contains
	if err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t)
}
