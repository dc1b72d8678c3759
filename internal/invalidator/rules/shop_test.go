package rules_test

import (
	"os"
	"reflect"
	"testing"

	"github.com/raptorflow/tercet/internal/events"
)

// TestShopRules holds examples/rules/shop.yaml to the table at its top.
func TestShopRules(t *testing.T) {
	text, err := os.ReadFile("../../../examples/rules/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set := parse(t, string(text))
	for _, c := range []struct {
		kind, data string
		want       events.Scope
		fails      bool
	}{
		{"shop.product.updated", `{"id":7,"category":"shoes"}`,
			events.Scope{Keys: []string{"category:shoes:listing"}, Prefixes: []string{"product:7:"}}, false},
		{"shop.product.updated", `{"id":7,"category":"shoes","previous_category":"hats"}`,
			events.Scope{Keys: []string{"category:hats:listing", "category:shoes:listing"}, Prefixes: []string{"product:7:"}}, false},
		{"shop.price.changed", `{"id":7,"category":"shoes","price":9.5}`,
			events.Scope{Keys: []string{"category:shoes:listing", "product:7:page", "product:7:price"}}, false},
		{"shop.stock.changed", `{"id":7,"stock":3}`, events.Scope{Keys: []string{"product:7:stock"}}, false},
		{"shop.stock.changed", `{"ids":[7,8]}`, events.Scope{Keys: []string{"product:7:stock", "product:8:stock"}}, false},
		{"shop.stock.changed", `{}`, events.Scope{Prefixes: []string{"product:"}}, true},
		{"shop.category.renamed", `{"category":"shoes"}`, events.Scope{Tags: []string{"category:shoes"}}, false},
		{"shop.category.renamed", `{}`, events.Scope{Prefixes: []string{"category:", "product:"}}, true},
		{"shop.catalog.reimported", `{}`, events.Scope{Prefixes: []string{"category:", "product:"}}, false},
		{"shop.customer.updated", `{"id":"c1"}`, events.Scope{Prefixes: []string{"customer:c1:"}}, false},
		{"shop.review.added", `{"id":7,"rating":5}`, events.Scope{Keys: []string{"product:7:page", "product:7:reviews"}}, false},
	} {
		e := read(t, `{"specversion":"1.0","id":"1","source":"/shop","type":"`+c.kind+`","data":`+c.data+`}`)
		out, err := set.Evaluate(e)
		if (err != nil) != c.fails {
			t.Errorf("%s %s: %v", c.kind, c.data, err)
		}
		if have := fence(t, out).Scope; !reflect.DeepEqual(clean(have), clean(c.want)) {
			t.Errorf("%s %s:\nhave %+v\nwant %+v", c.kind, c.data, have, c.want)
		}
	}
}
