"""The words people use for COCO's 80 classes, and the groups these belong to."""

# One line a class: its name, then the nouns that mean it. The order is COCO's.
_NOUNS = """
person: person man woman boy girl guy lady male female child kid toddler baby gentleman skier surfer snowboarder
        skateboarder skater batter pitcher catcher player athlete rider cyclist biker motorcyclist teenager umpire chef
        cook bride groom officer baseball_player tennis_player soccer_player frisbee_player police_officer policeman
        fireman cowboy student
bicycle: bicycle bike
car: car sedan suv minivan taxi cab
motorcycle: motorcycle motorbike motor_bike moped scooter
airplane: airplane plane jet airliner aeroplane aircraft jetliner biplane
bus: bus double_decker_bus double_decker city_bus school_bus tour_bus
train: train locomotive passenger_train freight_train
truck: truck pickup pickup_truck fire_truck firetruck tow_truck dump_truck semi
boat: boat ship sailboat canoe ferry kayak speedboat sail_boat fishing_boat
traffic light: traffic_light stoplight stop_light traffic_signal street_light
fire hydrant: fire_hydrant hydrant
stop sign: stop_sign
parking meter: parking_meter
bench: bench park_bench
bird: bird duck parrot seagull owl pigeon goose swan hawk eagle crow parakeet
cat: cat kitten kitty
dog: dog puppy
horse: horse pony
sheep: sheep lamb
cow: cow bull calf ox
elephant: elephant
bear: bear polar_bear brown_bear black_bear grizzly_bear grizzly
zebra: zebra
giraffe: giraffe
backpack: backpack
umbrella: umbrella parasol
handbag: handbag purse
tie: tie necktie bow_tie
suitcase: suitcase luggage
frisbee: frisbee
skis: skis
snowboard: snowboard snow_board
sports ball: ball soccer_ball baseball tennis_ball basketball football
kite: kite
baseball bat: baseball_bat bat
baseball glove: baseball_glove mitt catcher's_mitt
skateboard: skateboard skate_board
surfboard: surfboard surf_board
tennis racket: tennis_racket racket racquet tennis_racquet
bottle: bottle wine_bottle water_bottle beer_bottle
wine glass: wine_glass
cup: cup mug coffee_cup coffee_mug
fork: fork
knife: knife
spoon: spoon
bowl: bowl
banana: banana
apple: apple
sandwich: sandwich burger hamburger cheeseburger
orange: orange
broccoli: broccoli
carrot: carrot
hot dog: hot_dog hotdog
pizza: pizza
donut: donut doughnut
cake: cake birthday_cake cupcake wedding_cake
chair: chair armchair recliner rocking_chair
couch: couch sofa loveseat
potted plant: potted_plant houseplant
bed: bed
dining table: dining_table table dinner_table kitchen_table
toilet: toilet
tv: tv television flat_screen_tv
laptop: laptop laptop_computer
mouse: mouse computer_mouse
remote: remote remote_control controller game_controller wii_remote wii_controller
keyboard: keyboard computer_keyboard
cell phone: cell_phone phone cellphone smartphone smart_phone mobile_phone
microwave: microwave microwave_oven
oven: oven stove
toaster: toaster
sink: sink
refrigerator: refrigerator fridge
book: book
clock: clock
vase: vase
scissors: scissors
teddy bear: teddy_bear stuffed_animal stuffed_bear teddy
hair drier: hair_drier hair_dryer blow_dryer
toothbrush: toothbrush
"""

_GROUPS = """
vehicle: bicycle, car, motorcycle, airplane, bus, train, truck, boat
animal: bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe
food: banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake
fruit: banana, apple, orange
vegetable: broccoli, carrot
dessert: donut, cake
furniture: bench, chair, couch, bed, dining table
appliance: microwave, oven, toaster, refrigerator
electronics: tv, laptop, mouse, remote, keyboard, cell phone
sports equipment: frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard,
                  tennis racket
kitchenware: bottle, wine glass, cup, fork, knife, spoon, bowl
"""


def _table(text: str) -> dict[str, str]:
    lines = text.replace("\n  ", " ").strip().splitlines()
    return {name: rest.strip() for name, rest in (line.split(":", 1) for line in lines)}


CLASS_NOUNS: dict[str, tuple[str, ...]] = {
    name: tuple(noun.replace("_", " ") for noun in nouns.split()) for name, nouns in _table(_NOUNS).items()
}
CLASS_NAMES: tuple[str, ...] = tuple(CLASS_NOUNS)
NOUN_CLASS: dict[str, str] = {noun: name for name, nouns in CLASS_NOUNS.items() for noun in (name, *nouns)}
GROUPS: dict[str, frozenset[str]] = {
    name: frozenset(member.strip() for member in members.split(",")) for name, members in _table(_GROUPS).items()
}


def groups_of(class_name: str) -> tuple[str, ...]:
    """The groups a class belongs to: "dog" -> ("animal",)."""
    return tuple(name for name, members in GROUPS.items() if class_name in members)
