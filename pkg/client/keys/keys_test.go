package keys_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/pkg/client/keys"
)

func build(t *testing.T, b keys.Builder) string {
	t.Helper()
	k, err := b.Key()
	if err != nil {
		t.Fatal(err)
	}
	if err := events.ValidateKey(k); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeys(t *testing.T) {
	product := keys.Entity("product").ID(17)
	for want, b := range map[string]keys.Builder{
		"product:17":                           product,
		"product:17:page":                      product.Action("page"),
		"@tenant:acme:@user:9:product:17:page": product.In(keys.Tenant("acme"), keys.User("9")).Action("page"),
		"product:17:page:lang=en&size=20":      product.Action("page").Param("size", 20).Param("lang", "en"),
		"product:17:page:size=20:lang=en":      product.Action("page").Param("size", 20).Param("lang", "en").By(keys.Hierarchical),
		"product:a%3Ab%25c%40d%23e":            keys.Entity("product").ID("a:b%c@d#e"),
		"product:17:q=a%26b%3Dc%3Ad&r=":        product.Param("q", "a&b=c:d").Param("r", ""),
		"hour:2026-11-23T08%3A00%3A00Z:true":   keys.Entity("hour").ID(time.Date(2026, 11, 23, 9, 0, 0, 0, time.FixedZone("", 3600))).ID(true),
		"product:17:page:tag=b&tag=a&z=1":      product.Action("page").Params(url.Values{"tag": {"b", "a"}, "z": {"1"}}),
		"wait:1m30s":                           keys.Entity("wait").ID(90 * time.Second),
		"product:17:token=of+words":            product.Allow("token").Param("token", "of+words"),
	} {
		if got := build(t, b); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Equal requests give equal keys, and different ones different keys.
func TestHashes(t *testing.T) {
	list := keys.Entity("product").Action("list")
	one := list.Param("size", 20).Param("lang", "en").Param("tag", "x").Param("tag", "y")
	other := list.Param("tag", "x").Param("lang", "en").Param("tag", "y").Param("size", "20")
	if a, b := build(t, one.By(keys.Semantic)), build(t, other.By(keys.Semantic)); a != b {
		t.Errorf("equal requests: %q and %q", a, b)
	}
	if a, b := build(t, one.By(keys.Hashed)), build(t, other.By(keys.Hashed)); a == b {
		t.Errorf("hashed in the order given, both are %q", a)
	}
	swapped := list.Param("size", 20).Param("lang", "en").Param("tag", "y").Param("tag", "x")
	if a, b := build(t, one.By(keys.Semantic)), build(t, swapped.By(keys.Semantic)); a == b {
		t.Errorf("values in another order: both are %q", a)
	}
	apart := list.Param("ab", "c").By(keys.Semantic)
	if a, b := build(t, apart), build(t, list.Param("a", "bc").By(keys.Semantic)); a == b {
		t.Errorf("ab=c and a=bc are both %q", a)
	}
	long := list.Param("q", strings.Repeat("x", 1000))
	if k := build(t, long); len(k) > keys.DefaultMaxLength || !strings.HasPrefix(k, "product:list:#") {
		t.Errorf("a long parameter gave %q", k)
	}
}

// A builder that is shared is never changed by what is built on it.
func TestBuildersAreValues(t *testing.T) {
	base := keys.Entity("product").ID(1).Param("a", 1)
	x, y := base.Param("x", 1).Action("x"), base.Param("y", 2).Action("y")
	if a, b := build(t, x), build(t, y); a != "product:1:x:a=1&x=1" || b != "product:1:y:a=1&y=2" {
		t.Errorf("%q and %q", a, b)
	}
}

func TestPrefixes(t *testing.T) {
	product := keys.Entity("product").In(keys.Tenant("acme")).ID("1:7")
	prefix, err := product.Prefix()
	if err != nil || prefix != "@tenant:acme:product:1%3A7:" {
		t.Fatalf("%q, %v", prefix, err)
	}
	if err := events.ValidatePrefix(prefix); err != nil {
		t.Fatal(err)
	}
	if key := build(t, product.Action("page").Param("lang", "en")); !strings.HasPrefix(key, prefix) {
		t.Errorf("%q does not begin with %q", key, prefix)
	}
	level := product.By(keys.Hierarchical).Param("lang", "en")
	if prefix, err = level.Prefix(); err != nil || !strings.HasPrefix(build(t, level.Param("size", 5)), prefix) {
		t.Errorf("%q, %v", prefix, err)
	}
	if _, err := product.Param("lang", "en").Prefix(); !errors.Is(err, keys.ErrPart) {
		t.Errorf("a prefix with parameters in one segment: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	const jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
	product := keys.Entity("product")
	for name, x := range map[string]struct {
		b    keys.Builder
		want error
	}{
		"no entity":        {keys.Entity(""), keys.ErrEmpty},
		"no id":            {product.ID(""), keys.ErrEmpty},
		"no tenant":        {product.In(keys.Tenant("")), keys.ErrEmpty},
		"no session":       {product.In(keys.Session("")), keys.ErrEmpty},
		"no name":          {product.Param("", 1), keys.ErrEmpty},
		"float":            {product.ID(1.5), keys.ErrPart},
		"nil":              {product.ID(nil), keys.ErrPart},
		"password":         {product.Param("user_Password", "x"), keys.ErrSecret},
		"api key":          {product.Param("X-Api-Key", "x"), keys.ErrSecret},
		"web token":        {product.ID(jwt), keys.ErrSecret},
		"web token, value": {product.Param("q", jwt), keys.ErrSecret},
		"bearer":           {product.Param("h", "Bearer abc"), keys.ErrSecret},
		"key block":        {product.Param("h", "-----BEGIN PRIVATE KEY-----"), keys.ErrSecret},
		"too long":         {product.ID(strings.Repeat("x", keys.DefaultMaxLength)), keys.ErrTooLong},
		"limit":            {product.MaxLength(keys.MaxLength + 1), keys.ErrTooLong},
	} {
		k, err := x.b.Key()
		if !errors.Is(err, x.want) || k != "" {
			t.Errorf("%s: %q, %v; want %v", name, k, err, x.want)
		}
		if err != nil && strings.Contains(err.Error(), "eyJ") {
			t.Errorf("%s: the error shows the secret: %v", name, err)
		}
	}
	const id = "6f1d2c9e"
	if k := build(t, product.ID(1).In(keys.Session(id))); strings.Contains(k, id) {
		t.Errorf("%q shows the session's id", k)
	}
}

// No two different lists of parts make one key.
func FuzzKeysAreApart(f *testing.F) {
	f.Add("a", "b", "c", "d", "a", "b:c", "", "d")
	f.Add("a", "1", "n", "v", "a", "1:n=v", "", "")
	f.Fuzz(func(t *testing.T, e1, i1, n1, v1, e2, i2, n2, v2 string) {
		of := func(e, i, n, v string) (string, error) {
			b := keys.Entity(e).ID(i).MaxLength(keys.MaxLength)
			if n != "" {
				b = b.Param(n, v)
			}
			return b.Key()
		}
		a, err1 := of(e1, i1, n1, v1)
		b, err2 := of(e2, i2, n2, v2)
		same := e1 == e2 && i1 == i2 && n1 == n2 && (n1 == "" || v1 == v2)
		if err1 == nil && err2 == nil && (a == b) != same {
			t.Errorf("%q and %q", a, b)
		}
	})
}

func Example() {
	product := keys.Entity("product").In(keys.Tenant("acme")).ID(17)
	key, _ := product.Action("page").Param("size", 20).Param("lang", "en").Key()
	prefix, _ := product.Prefix()
	fmt.Println(key)
	fmt.Println(prefix)
	// Output:
	// @tenant:acme:product:17:page:lang=en&size=20
	// @tenant:acme:product:17:
}
