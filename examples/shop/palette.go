package shop

// palette is the colours of one cover: top and bottom of the ground, the glow on
// it, and the item's main, light, dark and warm colours.
type palette struct {
	top, bottom, glow       string
	main, light, dark, warm string
}

// white is the main colour of white things.
const white = "#fbf5e9"

// paletteOf returns the palette of a category; an unknown one has that of Gifts.
func paletteOf(category string) palette {
	switch category {
	case kitchen:
		return palette{"#fdf3e4", "#f8e3c8", "#fff9ee", "#d9694a", "#f4c9a4", "#5a3a2e", "#f0a63c"}
	case home:
		return palette{"#eef2ec", "#d9e3d6", "#f9fbf6", "#7c9a82", "#c3d5c3", "#35463b", "#e0a458"}
	case lighting:
		return palette{"#fff4dd", "#fbe0b4", "#fffaf0", "#c8843a", "#f6d9a0", "#54402b", "#f2b035"}
	case decorations:
		return palette{"#fbeef0", "#f3d7dc", "#fff8f8", "#c9647c", "#efbcc6", "#5b2f3d", "#e9a94f"}
	case bags:
		return palette{"#eef1f9", "#d6deef", "#f9faff", "#4f6db0", "#bccbe8", "#26345c", "#eda55b"}
	case christmas:
		return palette{"#eef4ee", "#d3e3d6", "#fafdf8", "#b83a3f", "#f0c9b8", "#234a38", "#e3b04b"}
	case toys:
		return palette{"#eef6fb", "#cfe6f3", "#fbfeff", "#e0734f", "#f8d38c", "#27496a", "#f3b53f"}
	case stationery:
		return palette{"#f3f0fa", "#dfd8f0", "#fcfaff", "#7a64b4", "#cdc1e8", "#392e5c", "#eeb14e"}
	case garden:
		return palette{"#f1f6e6", "#dbe9c3", "#fbfef3", "#6f9440", "#c6dc9e", "#36491f", "#e8a84a"}
	case storage:
		return palette{"#f6f1ea", "#e6dac9", "#fdfaf5", "#a67c52", "#dcc3a3", "#4a3622", "#d9a441"}
	case jewellery:
		return palette{"#fbf1f8", "#efd5e8", "#fff9fe", "#a6558f", "#e5bcd9", "#4d2343", "#dcae54"}
	case signs:
		return palette{"#eaf4f3", "#cbe3e1", "#f7fdfc", "#3f8480", "#b3d8d4", "#1f4644", "#e9b056"}
	case baby:
		return palette{"#f0f7fd", "#d9eaf8", "#fcfeff", "#7fb2dd", "#f9d5da", "#35587a", "#f5c26b"}
	default:
		return palette{"#f7f2ee", "#eadfd6", "#fffaf6", "#b5655a", "#e7c5b9", "#4b332f", "#e2a750"}
	}
}

// colourOf returns the first colour that a name tells of.
func colourOf(words []string) (colour string, ok bool) {
	for _, w := range words {
		switch w {
		case "RED", "STRAWBERRY", "CHERRY":
			return "#c8403f", true
		case "PINK", "ROSE":
			return "#e2839e", true
		case "BLUE", "DENIM":
			return "#4f86c0", true
		case "GREEN", "MINT", "LEAF", "APPLE":
			return "#6aa267", true
		case "YELLOW", "LEMON":
			return "#eec04d", true
		case "ORANGE":
			return "#e88a3a", true
		case "PURPLE", "LAVENDER", "LILAC":
			return "#8e6bb5", true
		case "BLACK":
			return "#3b3a40", true
		case "WHITE", "IVORY", "CREAM":
			return white, true
		case "SILVER", "ZINC", "GREY", "CHROME":
			return "#a3abb3", true
		case "GOLD", "GOLDEN":
			return "#d7a53c", true
		case "TURQUOISE", "AQUA", "TEAL":
			return "#3fa8a5", true
		case "BROWN", "CHOCOLATE", "WICKER", "WOODEN", "WOOD":
			return "#a5774e", true
		}
	}
	return "", false
}
