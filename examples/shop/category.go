package shop

import "strings"

// The categories of the shop.
const (
	bags        = "Bags"
	kitchen     = "Kitchen"
	home        = "Home"
	lighting    = "Lighting & Candles"
	decorations = "Decorations"
	christmas   = "Christmas"
	garden      = "Garden"
	stationery  = "Stationery"
	toys        = "Toys & Games"
	jewellery   = "Jewellery"
	storage     = "Storage"
	signs       = "Signs"
	baby        = "Baby"
	gifts       = "Gifts"
)

// Categories returns every category of the shop, in the order of its menu.
func Categories() []string {
	return []string{
		kitchen, home, lighting, decorations, bags, christmas, toys,
		stationery, garden, storage, jewellery, signs, baby, gifts,
	}
}

// Category returns the category of an item described as the Online Retail data
// set does ("WHITE HANGING HEART T-LIGHT HOLDER"); "Gifts" when no word of it
// tells. It looks at words only: the one that tells most wins, and of equals
// the last, since English names the thing last.
func Category(description string) string {
	best, weight := gifts, 0
	words := strings.FieldsFunc(strings.ToUpper(description), func(r rune) bool {
		return (r < 'A' || r > 'Z') && r != '\''
	})
	for _, word := range words {
		if c, w := told(word); w >= weight && w > 0 {
			best, weight = c, w
		}
	}
	return best
}

// told returns the category that a word tells, singular or plural, and how
// strongly: 5 a season or an age, which says more than the thing; 4 a thing that
// is never a detail of another; 3 a thing; 2 a thing that many categories have; 1
// a hint. 0 tells nothing.
func told(word string) (category string, weight int) {
	for _, theme := range []func(string) (string, int){toldTheme, toldIndoors, toldKept, toldMade} {
		if c, w := theme(word); w > 0 {
			return c, w
		}
	}
	if one, ok := strings.CutSuffix(word, "S"); ok && len(one) > 2 {
		return told(one)
	}
	return gifts, 0
}

// toldTheme knows seasons, ages, outdoors and hints.
func toldTheme(word string) (category string, weight int) {
	switch word {
	case "CHRISTMAS", "XMAS", "SANTA", "REINDEER", "ADVENT", "NOEL", "RUDOLPH", "SNOWMAN", "SNOWMEN", "NATIVITY", "SNOWFLAKE", "STOCKING", "BAUBLE", "JINGLE":
		return christmas, 5
	case "BABY", "BABIES", "BIB", "NURSERY", "TODDLER":
		return baby, 5
	case "GARDEN", "GARDENER", "GARDENER'S", "GARDENERS", "WATERING", "TRELLIS", "PLANT", "PLANTER", "HERB", "SEED", "BIRDHOUSE", "BIRDBATH", "PARASOL", "TROWEL",
		"SHED", "FLOWERPOT", "POTTERING", "KNEELING", "ALLOTMENT", "SUNFLOWER", "FEEDER", "GNOME", "WINDMILL", "BUCKET", "HYACINTH", "BULB", "THERMOMETER", "WEATHER", "DECKCHAIR", "BENCH":
		return garden, 3
	case "CRACKER", "SLEIGH":
		return christmas, 3
	case "TREE", "WREATH", "BIRD", "BUTTERFLY", "BUTTERFLIES", "FLOWER", "HEART", "STAR", "ROSE", "ANGEL", "EGG", "EASTER", "FEATHER", "BELL", "CRYSTAL", "GLITTER", "RABBIT",
		"BUNNY", "CHICK", "DOVE", "CHERUB", "OWL", "FROG", "TOADSTOOL", "PEACOCK", "PARTY", "BIRTHDAY", "BLOSSOM", "SHELL", "DAISY", "HEN", "ELEPHANT", "HANGING", "DOVECOTE",
		"TOPIARY", "DUCK", "LETTER", "WORD", "CAT", "SKULL", "POM", "BABUSHKA":
		return decorations, 1
	case "CHILDREN", "CHILDREN'S", "CHILDRENS", "CHILDS", "KID", "GIRL", "BOY", "SPACEBOY", "DOLLY", "CIRCUS", "PARADE", "PRINCESS", "DINOSAUR":
		return toys, 1
	case "TRADITIONAL", "GLASS", "ENAMEL", "CERAMIC", "SPOON", "PORCELAIN":
		return kitchen, 1
	case "METAL", "ZINC", "WOODEN", "WOOD", "CHROME", "FRENCH", "VINTAGE", "ANTIQUE", "IVORY", "FELT", "COTTON":
		return home, 1
	default:
		return gifts, 0
	}
}

// toldIndoors knows what stands in a kitchen, a room, or gives light.
func toldIndoors(word string) (category string, weight int) {
	switch word {
	case "CANDLE", "LANTERN", "LAMP", "LAMPSHADE", "CHANDELIER", "CANDLEHOLDER", "CANDLESTICK", "CANDELABRA", "TEALIGHT", "NIGHTLIGHT", "TORCH", "INCENSE", "LED", "VOTIVE", "CANDLEPOT":
		return lighting, 3
	case "LIGHT":
		return lighting, 3
	case "SCENTED":
		return lighting, 2
	case "MUG", "CUP", "TEACUP", "TEA", "COFFEE", "TEAPOT", "CAKE", "CAKESTAND", "CAKECASE", "PLATE", "BOWL", "SAUCER", "JUG", "CUTLERY", "KITCHEN", "BAKING", "COOKIE", "BISCUIT", "RECIPE",
		"PANTRY", "APRON", "NAPKIN", "DOILY", "DOILIES", "DOILEY", "JAM", "JELLY", "MOULD", "EGGCUP", "SNACK", "PICNIC", "TRAY", "SPICE", "SUGAR", "MILK", "BREAD", "TOAST",
		"PAN", "OVEN", "WINE", "COCKTAIL", "BEAKER", "TUMBLER", "GOBLET", "SERVIETTE", "COASTER", "PLACEMAT", "DINNER", "BREAKFAST", "POPCORN", "CUTTER", "MEASURING",
		"LUNCHBOX", "LUNCH", "CORKSCREW", "OPENER", "TEATIME", "PEPPER", "SALT", "COSY", "COLANDER", "CHOPPING", "KETTLE", "CUPCAKE", "STRAW", "CROCKERY", "DISH", "ICE", "CHOPSTICK", "BUTTER",
		"MUFFIN", "TEASPOON", "FRYING", "DINER", "SHERRY", "JELLIES", "FORK", "KNIFE", "WHISK", "GRATER", "FOOD", "TEATOWEL", "CONDIMENT", "CHEESE", "CASSEROLE", "FLASK", "CANDY", "LOLLY", "TABLECLOTH", "RUNNER":
		return kitchen, 3
	case "BOTTLE", "POT", "TABLE", "SWEET", "CHOCOLATE", "GUMBALL":
		return kitchen, 2
	case "CUSHION", "DOORMAT", "CLOCK", "DOORSTOP", "HANGER", "KNOB", "MIRROR", "RUG", "BATH", "BATHROOM", "TOWEL", "SOAP", "TISSUE", "WARMER", "WASHBAG", "TOILET", "THROW", "QUILT", "BLANKET",
		"CURTAIN", "CHAIR", "STOOL", "FRAME", "PLASTER", "UMBRELLA", "DOORBELL", "SEWING", "PEG", "WASHING", "FLANNEL", "GLOVE", "SCARF", "SOCK", "SLIPPER", "PYJAMA", "DRAUGHT", "LAUNDRY", "RADIO",
		"SCALE", "COVER", "BEDSIDE", "FAN", "VASE", "SHELF", "SHELVES", "BELT", "HAT", "TABLET", "PHONE", "CIGARETTE", "LIGHTER", "ASHTRAY", "GLOSS", "BALM", "TABURET", "SCREEN", "POUFFE", "SHAWL", "MASSAGER",
		"KNITTING", "DARTS", "MAGNIFYING", "PATCH", "CORNICE", "PARTITION", "SPONGE", "BRUSH", "DUSTPAN", "EYE", "POWDER", "MAT", "FLOOR":
		return home, 3
	case "HOT", "HOTTIE":
		return home, 4
	case "HOOK", "DOOR", "TILE", "BRICK", "WALL", "BLACKBOARD":
		return home, 2
	default:
		return gifts, 0
	}
}

// toldKept knows bags, boxes, jewels, signs and toys.
func toldKept(word string) (category string, weight int) {
	switch word {
	case "BAG", "SHOPPER", "PURSE", "LUGGAGE", "WALLET", "RUCKSACK", "BACKPACK", "HANDBAG", "SUITCASE", "TOTE", "HOLDALL", "SATCHEL", "TRAVEL", "PASSPORT", "DUFFEL", "LUGGAGETAG":
		return bags, 4
	case "BRACELET", "NECKLACE", "EARRING", "EARRINGS", "BROOCH", "BANGLE", "PENDANT", "JEWELLERY", "JEWEL", "HAIRBAND", "HAIRCLIP", "HAIR", "BEAD", "DIAMANTE", "CHARM", "ANKLET", "TIARA", "CHOKER", "NECKL", "KEYRING", "FOB", "RING", "FILIGREE", "TRINKET":
		return jewellery, 3
	case "SIGN", "CHALKBOARD", "PLAQUE", "BILLBOARD", "NOTICEBOARD", "MEMOBOARD", "SIGNPOST", "SLATE":
		return signs, 3
	case "BOX", "BOXES", "TIN", "DRAWER", "CABINET", "STORAGE", "BASKET", "TIDY", "CHEST", "TRUNK", "RACK", "JAR", "CONTAINER", "BIN", "HAMPER", "CRATE", "TUB", "CANISTER", "CASE", "ORGANISER", "CADDY", "HOLDER", "STAND":
		return storage, 2
	case "PLAYING", "SNAP", "NAUGHTS", "SPINNING":
		return toys, 4
	case "TOY", "GAME", "PUZZLE", "JIGSAW", "DOLL", "PLAYHOUSE", "DOMINO", "DOMINOES", "SKITTLE", "BINGO", "CARS", "TRAIN", "ROBOT", "HARMONICA", "FELTCRAFT", "SKIPPING", "ROPE", "YO", "MARBLE",
		"BALLOON", "CRAFT", "KALEIDOSCOPE", "PUPPET", "TEDDY", "BEAR", "ROCKING", "KITE", "BOOMERANG", "WHISTLE", "LUDO", "TRICK", "MAGIC", "BUILDING", "BLOCK", "SOLDIER", "TATTOO", "MONEY", "BANK", "TAMBOURINE", "CRAYON", "PIANO", "RECORDER", "GLIDER", "BALL", "BOUNCING", "SNAKE", "CHESS", "DICE", "TRUMPET", "HORSE", "BUBBLE", "HELICOPTER", "CASTANET", "TELESCOPE", "PLANE", "DRUM", "MASK", "QUOIT", "CROQUET", "NOUGHT", "BACKGAMMON", "SOLITAIRE", "RIBBON'S", "POPART", "ACAPULCO":
		return toys, 3
	default:
		return gifts, 0
	}
}

// toldMade knows paper and what hangs on walls and windows.
func toldMade(word string) (category string, weight int) {
	switch word {
	case "CARD", "WRAP", "NOTEBOOK", "PEN", "PENCIL", "STICKER", "TAG", "ENVELOPE", "STAMP", "STATIONERY", "SKETCHBOOK", "RULER", "ERASER", "RUBBER", "SHARPENER", "JOURNAL", "DIARY", "CALENDAR",
		"NOTELET", "NOTEPAD", "JOTTER", "POSTCARD", "ALBUM", "CHALK", "BOOKMARK", "COLOURING", "DRAWING", "WRITING", "ADDRESS", "CLIP", "BOOK", "ORIGAMI", "CALCULATOR", "SCRAPBOOK", "STENCIL", "ENVELOPES", "MEMO", "MAGNET", "TAPE", "PAPERWEIGHT", "GIFTWRAP", "GIFT":
		return stationery, 3
	case "PAD", "PAPER", "RIBBON", "REEL", "ALPHABET", "PASTE":
		return stationery, 2
	case "DECORATION", "GARLAND", "BUNTING", "ORNAMENT", "MOBILE", "STREAMER", "FIGURINE", "STATUE", "WINDCHIME", "CHIME", "POTPOURRI", "CONE", "DOILYGARLAND", "CANVAS", "DREAMCATCHER":
		return decorations, 4
	case "WICKER", "CHAIN", "DECORATIVE", "PICTURE", "PHOTO", "ART", "PRINT", "BLOCKS", "ARTIFICIAL", "HONEYCOMB", "SPRAY", "STEM", "COLLAGE", "CAGE", "POSY", "BOUQUET", "GARLANDS", "MIRRORED", "FLAG":
		return decorations, 2
	default:
		return gifts, 0
	}
}
