package helm

import (
	chart "helm.sh/helm/v4/pkg/chart/v2"
)

// globals is the part of a chart's values that reaches all charts below it.
const globals = "global"

// keepNulls has the nulls with which a chart's own values take away defaults of its subcharts reach them. Helm 3 did; Helm 4
// drops them before the subchart's defaults are merged unless the user's values name the key (helm/helm#32132). So they are
// written where a user would: into given, the values of this chart that the user gave, but only where nothing that wins over
// the chart's values says otherwise.
func keepNulls(loaded *chart.Chart, given map[string]any, over []map[string]any) {
	winning := append([]map[string]any{given}, over...)
	keys := map[string]*chart.Chart{globals: nil}
	for _, subchart := range loaded.Dependencies() {
		keys[subchart.Name()] = subchart
	}
	if len(keys) == 1 {
		return
	}
	for key, subchart := range keys {
		below, isTable := table(given, key)
		if !isTable {
			continue
		}
		own, _ := loaded.Values[key].(map[string]any)
		above := tables(winning[1:], key)
		copyNulls(own, below, above)
		if subchart != nil {
			if own != nil {
				above = append(above, own)
			}
			keepNulls(subchart, below, above)
		}
		if len(below) > 0 {
			given[key] = below
		}
	}
}

// copyNulls copies the nulls of one table into another one, where neither it nor those that win say anything of the key.
func copyNulls(from, into map[string]any, over []map[string]any) {
	for key, value := range from {
		switch value := value.(type) {
		case nil:
			if _, said := into[key]; !said && !anySays(over, key) {
				into[key] = nil
			}
		case map[string]any:
			below, isTable := table(into, key)
			if !isTable {
				continue
			}
			copyNulls(value, below, tables(over, key))
			if len(below) > 0 {
				into[key] = below
			}
		}
	}
}

// table gives the table of a key, a new one when there is nothing; what is no table, null included, stays as it is.
func table(values map[string]any, key string) (map[string]any, bool) {
	value, found := values[key]
	if !found {
		return map[string]any{}, true
	}
	below, isTable := value.(map[string]any)
	return below, isTable
}

func tables(all []map[string]any, key string) []map[string]any {
	var found []map[string]any
	for _, values := range all {
		if below, isTable := values[key].(map[string]any); isTable {
			found = append(found, below)
		}
	}
	return found
}

func anySays(all []map[string]any, key string) bool {
	for _, values := range all {
		if _, said := values[key]; said {
			return true
		}
	}
	return false
}
