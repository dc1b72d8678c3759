package input

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/raptorflow/tercet/examples/rules"
)

// The shop's size. The largest category holds about a quarter of the
// products, so that one record with its tag ends thousands of copies in a fleet.
const (
	shopProducts  = 3000
	shopCustomers = 1000
	// fullYear is how many reads a year's changes are meant for; a year of
	// fewer reads has fewer changes too.
	fullYear = 100_000
	yearDays = 365
)

// shopStart is the first midnight of the year that is played.
var shopStart = time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)

// Shop returns a year in the life of a small shop: some thousands of changes
// (prices and sales, stock, reviews, customers, renamed categories, seasonal
// reimports of the catalog) between reads whose popularity follows Zipf's law
// and drifts with the seasons. Its events and keys are those of the example
// rule file shop.yaml.
func Shop(o Options) *Workload {
	o = o.withDefaults()
	g := newShopGenerator(o)
	for day := range yearDays {
		g.day(day)
	}
	w := &Workload{
		Name:       "a year in the life of a small shop",
		Domain:     "shop",
		Steps:      g.steps,
		Start:      shopStart,
		Rules:      rules.Shop,
		Schema:     shopSchema{},
		Attributes: g.initial,
	}
	w.count()
	return w
}

// shopGenerator makes the year day by day.
type shopGenerator struct {
	rand    *rand.Rand
	steps   []Step
	keys    intern
	initial []Attribute

	category []string         // of each product, as it is now
	members  map[string][]int // products of each category, as it is now
	ranks    []int            // product of each popularity rank
	product  zipf
	customer zipf

	reads    int     // wanted in the year
	busy     float64 // share of a full year's changes, for few reads
	weight   float64 // of all days together
	readDebt float64 // reads owed, in parts of one
	events   int
}

func newShopGenerator(o Options) *shopGenerator {
	r := rand.New(rand.NewPCG(o.Seed, 0x5e0b))
	g := &shopGenerator{
		rand: r, keys: intern{}, reads: o.MaxReads,
		busy:     min(1, float64(o.MaxReads)/fullYear),
		category: make([]string, shopProducts),
		members:  map[string][]int{},
		ranks:    r.Perm(shopProducts),
		product:  newZipf(shopProducts, 1.1),
		customer: newZipf(shopCustomers, 0.8),
	}
	shares := newZipf(len(shopCategories), 0.9)
	for p := range g.category {
		c := shopCategories[shares.draw(r)]
		g.category[p] = c
		g.members[c] = append(g.members[c], p)
		g.initial = append(g.initial, Attribute{Row: productRow(p), Value: c})
	}
	for day := range yearDays {
		g.weight += dayWeight(day)
	}
	return g
}

// dayWeight is a day's share of the traffic: weekends, summer's lull, and the
// weeks before Christmas.
func dayWeight(day int) float64 {
	w := 1 + 0.15*math.Cos(2*math.Pi*float64(day-350)/yearDays)
	switch shopStart.AddDate(0, 0, day).Weekday() {
	case time.Saturday, time.Sunday:
		w *= 1.3
	}
	switch {
	case day >= 325 && day < 332: // Black Friday's week
		w *= 2.5
	case day >= 332 && day < 357:
		w *= 1.8
	}
	return w
}

// happening is a visit or a change at an instant of a day. A day's happenings
// are played in order of time.
type happening struct {
	at   time.Duration
	play func(at time.Duration)
}

func (g *shopGenerator) day(day int) {
	midnight := time.Duration(day) * 24 * time.Hour
	var hs []happening
	add := func(n int, play func(time.Duration)) {
		for range n {
			hs = append(hs, happening{midnight + g.timeOfDay(), play})
		}
	}
	if day > 0 && day%91 == 0 { // a new season's fashion
		g.drift(0.2)
	}
	weight := dayWeight(day)
	add(g.about(3.5*weight), g.stockAfterOrder)
	add(g.about(1.2*weight), g.reviewed)
	add(g.about(1.0), g.productEdited)
	add(g.about(0.8), g.customerMoved)
	add(g.about(1.5), g.repriced)
	if day%7 == 1 {
		add(1, g.delivery)
	}
	for _, s := range shopSales {
		if day == s.from || day == s.until {
			// At opening hour, before the day's visitors: a sale is what they
			// come for.
			hs = append(hs, happening{midnight + 7*time.Hour, func(at time.Duration) { g.sale(at, s.category) }})
		}
	}
	switch day {
	case 40:
		hs = append(hs, happening{midnight + 12*time.Hour, g.toldPrice})
	case 75, 150, 225, 300: // four seasonal catalogs
		hs = append(hs, happening{midnight + 3*time.Hour, g.reimported})
	case 180:
		hs = append(hs, happening{midnight + 12*time.Hour, g.toldRename})
	}
	if day%45 == 20 {
		add(1, g.renamed)
	}
	g.readDebt += float64(g.reads) * weight / g.weight
	for n := 0; float64(n) < g.readDebt/meanVisit; n++ {
		hs = append(hs, happening{midnight + g.timeOfDay(), g.visit})
	}
	slices.SortStableFunc(hs, func(a, b happening) int { return int(a.at - b.at) })
	for _, h := range hs {
		h.play(h.at)
	}
}

// timeOfDay is most likely in the early evening.
func (g *shopGenerator) timeOfDay() time.Duration {
	h := math.Mod(19+4.5*g.rand.NormFloat64()+48, 24)
	return time.Duration(h * float64(time.Hour))
}

// about returns mean on average, in a year that is busy; whole numbers near it
// each time.
func (g *shopGenerator) about(mean float64) int {
	return int(mean*g.busy + g.rand.Float64())
}

// drift exchanges a share of the popular products for others.
func (g *shopGenerator) drift(share float64) {
	for i := range g.ranks[:len(g.ranks)/10] {
		if g.rand.Float64() < share {
			j := g.rand.IntN(len(g.ranks))
			g.ranks[i], g.ranks[j] = g.ranks[j], g.ranks[i]
		}
	}
}

func (g *shopGenerator) popular() int { return g.ranks[g.product.draw(g.rand)] }

func (g *shopGenerator) read(at time.Duration, parts ...string) {
	g.readDebt--
	g.steps = append(g.steps, Step{At: at, Key: g.keys.join(parts...)})
}

// meanVisit is how many reads a visit makes, about.
const meanVisit = 6.0

// visit is one customer's way through the shop: a listing, some pages of
// products, now and then reviews, an account.
func (g *shopGenerator) visit(at time.Duration) {
	p := g.popular()
	if g.rand.Float64() < 0.7 {
		g.read(at, "category:", g.category[p], ":listing")
	}
	for range 1 + g.rand.IntN(3) {
		id := strconv.Itoa(p)
		g.read(at, "product:", id, ":page")
		g.read(at, "product:", id, ":price")
		if g.rand.Float64() < 0.4 {
			g.read(at, "product:", id, ":stock")
		}
		if g.rand.Float64() < 0.25 {
			g.read(at, "product:", id, ":reviews")
		}
		p = g.popular()
	}
	if g.rand.Float64() < 0.2 {
		c := strconv.Itoa(g.customer.draw(g.rand))
		g.read(at, "customer:", c, ":profile")
		g.read(at, "customer:", c, ":orders")
	}
}

// shopSchema says what the shop's pages are made of.
type shopSchema struct{}

func (shopSchema) View(key string, attribute func(row string) string) View {
	kind, rest, _ := strings.Cut(key, ":")
	id, part, _ := strings.Cut(rest, ":")
	switch kind {
	case "product":
		row := "product/" + id
		v := View{Rows: []string{"catalog", row}}
		switch part {
		case "page":
			c := attribute(row)
			v.Rows = append(v.Rows, "price/"+id, "reviews/"+id, "category/"+c)
			v.Tags = []string{"category:" + c}
		case "price", "stock", "reviews":
			v.Rows = append(v.Rows, part+"/"+id)
		}
		return v
	case "category":
		return View{
			Rows: []string{"catalog", "category/" + id, "listing/" + id},
			Tags: []string{"category:" + id},
		}
	}
	return View{Rows: []string{kind + "/" + id}}
}

func productRow(p int) string { return fmt.Sprintf("product/%d", p) }
