package shop

import "strings"

// motifOf returns the motif of a name: that of its last thing, else of its last
// hint, else the category's own.
func motifOf(words []string, category string) string {
	motif, thing := "", false
	for i, w := range words {
		if i > 0 && w == "BOTTLE" && words[i-1] == "WATER" {
			return "hotwater"
		}
		if m := thingOf(w); m == "bag" {
			return m // what is printed on a bag comes after it
		} else if m != "" {
			motif, thing = m, true
		} else if m := hintOf(w); m != "" && !thing {
			motif = m
		}
	}
	if motif != "" {
		return motif
	}
	return usual(category)
}

// thingOf knows words for what an item is.
func thingOf(word string) string {
	switch strings.TrimSuffix(word, "S") {
	case "BAG", "SHOPPER", "PURSE", "WALLET", "LUGGAGE", "TOTE", "RUCKSACK":
		return "bag"
	case "MUG", "CUP", "TEACUP", "SAUCER", "BEAKER", "COFFEE":
		return "mug"
	case "TEAPOT", "TEA", "KETTLE", "JUG":
		return "teapot"
	case "LIGHT", "CANDLE", "TEALIGHT", "VOTIVE", "CANDLEHOLDER":
		return "candle"
	case "LANTERN", "LAMP", "CHANDELIER":
		return "lantern"
	case "CLOCK":
		return "clock"
	case "CAKE", "CAKESTAND", "CUPCAKE", "MUFFIN", "BAKING":
		return "cake"
	case "BOX", "BOXE", "TRUNK", "CHEST":
		return "box"
	case "BOTTLE", "VASE", "FLASK":
		return "bottle"
	case "SIGN", "CHALKBOARD", "BLACKBOARD", "PLAQUE", "SLATE", "DOORMAT", "MAGNET", "BILLBOARD":
		return "sign"
	case "BUNTING", "GARLAND", "CHAIN", "STREAMER":
		return "bunting"
	case "CARD", "WRAP", "ENVELOPE", "POSTCARD", "TAG", "STICKER", "STAMP":
		return "card"
	case "BAUBLE", "DECORATION", "ORNAMENT":
		return "bauble"
	case "UMBRELLA", "PARASOL":
		return "umbrella"
	case "KEY", "FOB", "KEYRING":
		return "key"
	case "JAR", "JAM", "BONBON":
		return "jar"
	case "FRAME", "PICTURE", "PHOTO", "MIRROR", "ART":
		return "frame"
	case "CUSHION", "THROW", "QUILT":
		return "cushion"
	case "PENCIL", "PEN", "CRAYON", "CHALK", "RULER":
		return "pencil"
	case "NECKLACE", "BRACELET", "EARRING", "PENDANT", "BEAD", "CHARM":
		return "necklace"
	case "HOUSE", "PLAYHOUSE", "BIRDHOUSE", "COTTAGE":
		return "house"
	case "DOLL", "BABUSHKA":
		return "doll"
	}
	return otherThing(word)
}

func otherThing(word string) string {
	switch strings.TrimSuffix(word, "S") {
	case "PLATE", "TRAY", "COASTER":
		return "plate"
	case "BOWL", "DISH", "MOULD", "PAN":
		return "bowl"
	case "TIN", "TUBE", "CANISTER":
		return "tin"
	case "CUTLERY", "SPOON", "TEASPOON", "FORK":
		return "cutlery"
	case "HOOK", "HANGER", "PEG", "KNOB", "RACK":
		return "hook"
	case "BOOK", "NOTEBOOK", "SKETCHBOOK", "JOURNAL", "DIARY", "RECIPE", "JOTTER", "PAD":
		return "book"
	case "DRAWER", "CABINET", "CUPBOARD":
		return "drawer"
	case "BASKET", "HAMPER", "PICNIC":
		return "basket"
	case "WARMER", "GLOVE", "MITTEN", "SCARF":
		return "mitten"
	case "APRON":
		return "apron"
	case "NAPKIN", "TISSUE", "TOWEL", "DOILEY", "DOILIE", "FLANNEL":
		return "napkin"
	case "RIBBON", "REEL", "TAPE":
		return "ribbon"
	case "GAME", "TOP", "TOY", "SKITTLE", "DOMINOE", "BALL":
		return "toy"
	case "HORSE":
		return "horse"
	case "CAR", "TRAIN":
		return "car"
	case "POT", "PLANTER", "PLANT", "HERB", "TRELLI", "WATERING":
		return "pot"
	case "WREATH":
		return "wreath"
	default:
		return ""
	}
}

// hintOf knows words for what an item looks like.
func hintOf(word string) string {
	switch strings.TrimSuffix(word, "S") {
	case "HEART", "LOVE", "SWEETHEART", "VALENTINE":
		return "heart"
	case "STAR":
		return "star"
	case "BIRD", "DOVE", "LOVEBIRD", "CHICK", "HEN", "PEACOCK":
		return "bird"
	case "FLOWER", "ROSE", "DAISY", "SUNFLOWER", "BLOSSOM":
		return "flower"
	case "BUTTERFLY", "BUTTERFLIE", "FAIRY":
		return "butterfly"
	case "TREE":
		return "tree"
	case "CHRISTMA", "SANTA", "REINDEER", "XMA":
		return "tree"
	case "DOLLY":
		return "doll"
	case "SKULL":
		return "skull"
	case "RABBIT", "BUNNY":
		return "rabbit"
	case "OWL":
		return "owl"
	case "TOADSTOOL", "MUSHROOM":
		return "mushroom"
	case "GIFT", "BIRTHDAY", "PARTY":
		return "gift"
	default:
		return ""
	}
}

// usual returns the motif of a category's items that tell nothing else.
func usual(category string) string {
	switch category {
	case kitchen:
		return "cutlery"
	case home:
		return "house"
	case lighting:
		return "bulb"
	case decorations:
		return "star"
	case bags:
		return "bag"
	case christmas:
		return "tree"
	case toys:
		return "toy"
	case stationery:
		return "pencil"
	case garden:
		return "pot"
	case storage:
		return "box"
	case jewellery:
		return "necklace"
	case signs:
		return "sign"
	case baby:
		return "rabbit"
	default:
		return "gift"
	}
}
