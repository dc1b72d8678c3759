package input

import (
	"fmt"
	"strconv"
	"time"
)

// shopCategories are the shop's departments, the largest first.
var shopCategories = []string{
	"books", "kitchen", "garden", "toys", "lamps", "tea", "coffee", "stationery",
	"textiles", "games", "tools", "outdoor", "music", "prints", "candles", "bags",
	"spices", "ceramics", "plants", "baskets", "clocks", "frames", "soaps", "maps",
}

var shopVerbs = []string{"sturdy", "bright", "handmade", "recycled", "light", "classic", "slim", "warm"}

// shopSales are campaigns: a category's prices fall on the first day and rise
// after the last.
var shopSales = []struct {
	category    string
	from, until int // days of the year
}{
	{"textiles", 2, 16}, {"candles", 5, 19}, {"garden", 100, 114}, {"outdoor", 135, 149},
	{"toys", 190, 204}, {"bags", 195, 209}, {"games", 326, 330}, {"music", 326, 330},
	{"kitchen", 327, 331}, {"prints", 340, 354}, {"tea", 335, 356},
}

// saleProducts is how many of a category's products take part in a sale.
const saleProducts = 30

func (g *shopGenerator) change(at time.Duration, c Change, kind, service string, data map[string]any) *Change {
	g.events++
	c.ID = fmt.Sprintf("shop-%05d", g.events)
	c.EventID = c.ID
	c.Subject = "events." + kind
	c.Event = encodeEvent(c.ID, "/shop/"+service, kind, shopStart.Add(at), data)
	g.steps = append(g.steps, Step{At: at, Change: &c})
	return &c
}

func (g *shopGenerator) stockAfterOrder(at time.Duration) {
	p := g.popular()
	id := strconv.Itoa(p)
	g.change(at, Change{
		What:   "product " + id + " was sold",
		Writes: []string{"stock/" + id},
	}, "shop.stock.changed", "warehouse", map[string]any{"id": p, "stock": g.rand.IntN(200)})
}

// delivery changes the stock of many products in one transaction: one event.
func (g *shopGenerator) delivery(at time.Duration) {
	seen := map[int]bool{}
	var ids []int
	var writes []string
	for range 20 + g.rand.IntN(60) {
		p := g.popular()
		if !seen[p] {
			seen[p] = true
			ids = append(ids, p)
			writes = append(writes, "stock/"+strconv.Itoa(p))
		}
	}
	g.change(at, Change{
		What:   fmt.Sprintf("a delivery of %d products arrived", len(ids)),
		Writes: writes,
	}, "shop.stock.changed", "warehouse", map[string]any{"ids": ids})
}

func (g *shopGenerator) reviewed(at time.Duration) {
	p := g.popular()
	id := strconv.Itoa(p)
	g.change(at, Change{
		What:   "product " + id + " was reviewed",
		Writes: []string{"reviews/" + id},
	}, "shop.review.added", "reviews", map[string]any{"id": p, "stars": 1 + g.rand.IntN(5)})
}

func (g *shopGenerator) repriced(at time.Duration) { g.price(at, g.popular()) }

func (g *shopGenerator) price(at time.Duration, p int) *Change {
	id, c := strconv.Itoa(p), g.category[p]
	return g.change(at, Change{
		What:   "price of product " + id + " changed",
		Writes: []string{"price/" + id, "listing/" + c},
	}, "shop.price.changed", "prices", map[string]any{
		"id": p, "category": c, "cents": 199 + g.rand.IntN(20_000),
	})
}

// toldPrice is the price change that the trial narrates: of the most popular
// product.
func (g *shopGenerator) toldPrice(at time.Duration) {
	p := g.ranks[0]
	id := strconv.Itoa(p)
	c := g.price(at, p)
	c.Told = true
	c.Reach = []string{"product:" + id + ":price", "product:" + id + ":page", "category:" + g.category[p] + ":listing"}
}

// sale changes the prices of a part of a category, each by an event of its
// own, as a price service does.
func (g *shopGenerator) sale(at time.Duration, category string) {
	members := g.members[category]
	for _, p := range members[:min(g.about(saleProducts), len(members))] {
		g.price(at, p)
	}
}

// productEdited changes a product's description; one in eight moves to another
// category.
func (g *shopGenerator) productEdited(at time.Duration) {
	p := g.popular()
	id, from := strconv.Itoa(p), g.category[p]
	c := Change{
		What:   "product " + id + " was edited",
		Writes: []string{"product/" + id, "listing/" + from},
	}
	data := map[string]any{"id": p, "category": from, "title": g.title(p)}
	if to := shopCategories[g.rand.IntN(len(shopCategories))]; g.rand.IntN(8) == 0 && to != from {
		c.What = "product " + id + " moved from " + from + " to " + to
		c.Writes = append(c.Writes, "listing/"+to)
		c.Sets = []Attribute{{Row: productRow(p), Value: to}}
		data["category"], data["previous_category"] = to, from
		g.move(p, from, to)
	}
	g.change(at, c, "shop.product.updated", "catalog", data)
}

func (g *shopGenerator) move(p int, from, to string) {
	g.category[p] = to
	members := g.members[from]
	for i, m := range members {
		if m == p {
			g.members[from] = append(members[:i:i], members[i+1:]...)
			break
		}
	}
	g.members[to] = append(g.members[to], p)
}

func (g *shopGenerator) title(p int) string {
	return fmt.Sprintf("a %s piece from %s, no. %d", shopVerbs[g.rand.IntN(len(shopVerbs))], g.category[p], p)
}

func (g *shopGenerator) customerMoved(at time.Duration) {
	n := g.customer.draw(g.rand)
	id := strconv.Itoa(n)
	g.change(at, Change{
		What:   "customer " + id + " changed their address",
		Writes: []string{"customer/" + id},
	}, "shop.customer.updated", "accounts", map[string]any{"id": n})
}

func (g *shopGenerator) renamed(at time.Duration) {
	g.rename(at, shopCategories[g.rand.IntN(len(shopCategories))])
}

func (g *shopGenerator) rename(at time.Duration, category string) *Change {
	return g.change(at, Change{
		What:   "category " + category + " got a new name",
		Writes: []string{"category/" + category},
	}, "shop.category.renamed", "catalog", map[string]any{"category": category})
}

// toldRename is the change that the trial narrates as one record that ends
// thousands of copies: of the largest category.
func (g *shopGenerator) toldRename(at time.Duration) {
	category := shopCategories[0]
	c := g.rename(at, category)
	c.Told = true
	c.Reach = []string{"category:" + category + ":listing"}
	for _, p := range g.members[category] {
		if len(c.Reach) == MaxReach {
			break
		}
		c.Reach = append(c.Reach, "product:"+strconv.Itoa(p)+":page")
	}
}

func (g *shopGenerator) reimported(at time.Duration) {
	g.change(at, Change{
		What:   "the season's catalog was imported",
		Writes: []string{"catalog"},
	}, "shop.catalog.reimported", "catalog", nil)
}
